"""Falcon: queries share one key/value head, or one a group; both steps of a layer read the same stream; the first
ones (Falcon RW) have ALiBi in place of the rotation.

Almazrouei et al. 2023, "The Falcon Series of Open Language Models", section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model import rotary_files
from llminspect.model.config import GGUF, HUGGINGFACE, OlderConfig, read_older, read_sizes
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, around, linear_specs


@dataclass(frozen=True, kw_only=True)
class FalconConfig(OlderConfig):
    stated = "sizes norm_epsilon activation rotary rounded_alibi parallel two_norms biased tied causal"
    two_norms: bool
    """Whether steps side by side have a norm each."""
    biased: bool = False


def older_from_huggingface(settings: Settings) -> FalconConfig:
    """With the keys of the first files, of before transformers had a Falcon."""
    values = {OLDER.get(key, key): value for key, value in settings.values.items()}
    if values.get("model_type") == "RefinedWeb":  # 40B; the other kind is 7B.
        values["new_decoder_architecture"] = True
    settings.values = values
    return from_huggingface(settings)


def from_huggingface(settings: Settings) -> FalconConfig:
    width = settings.whole("ffn_hidden_size", 4 * settings.whole("hidden_size"))
    grouped = settings.flag("new_decoder_architecture", False)
    sizes = read_sizes(settings, HUGGINGFACE, F=width, K=_key_heads(settings, grouped))
    parallel = settings.flag("parallel_attn", True)
    if grouped and not parallel:
        raise settings.wrong("parallel_attn", "true where new_decoder_architecture is")
    norms = settings.whole("num_ln_in_parallel_attn", 2 if grouped else 1)
    if norms not in ((1, 2) if grouped else (1,)):
        raise settings.wrong("num_ln_in_parallel_attn", "1, or 2 where new_decoder_architecture is true")
    settings.only("apply_residual_connection_post_layernorm", False)
    alibi = settings.flag("alibi", False)
    if alibi:  # What a file says of a rotation then, nobody reads.
        settings.skip("rope_theta", "rope_scaling", "rope_parameters")
    return read_older(
        FalconConfig,
        settings,
        sizes,
        epsilon="layer_norm_epsilon",
        activation="activation",
        rotary=None if alibi else rotary_files.from_huggingface(settings, sizes.E, sizes.context),
        rounded_alibi=alibi,
        parallel=parallel,
        two_norms=norms == 2,
        biased=settings.flag("bias", False),
        causal=settings.flag("is_causal", True),
    )


def from_gguf(settings: Settings) -> FalconConfig:
    """Of 7B, whose heads share one key and value, or of 40B, whose groups have one each and whose steps a norm each."""
    sizes = read_sizes(settings, {**GGUF, "K": "attention.head_count_kv"})
    settings.only("tensor_data_layout", "jploski")
    return FalconConfig(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu",
        rotary=rotary_files.from_gguf(settings, sizes.E, sizes.context),
        parallel=True,
        two_norms=sizes.K > 1,
        causal=settings.flag("attention.causal", True),
    )


def _key_heads(settings: Settings, grouped: bool) -> int:
    heads, shared = settings.whole("num_attention_heads"), settings.flag("multi_query", True)
    stated = settings.whole("num_kv_heads", heads)
    if not grouped and shared:
        return 1
    if heads % stated or (not grouped and stated != heads):
        raise settings.wrong("num_kv_heads", f"a divisor of {heads}" if grouped else f"{heads}")
    return stated


def part_of_groups(part: str) -> Callable[[Array, FalconConfig], Array]:
    """The fused matrix holds, group by group, the rows of its queries, of its key and of its value."""

    def cut(array: Array, config: FalconConfig) -> Array:
        sizes = config.sizes
        queries, more = sizes.H // sizes.K, array.shape[1:]
        rows = {"query": slice(queries), "key": slice(queries, queries + 1), "value": slice(queries + 1, None)}
        return array.reshape(sizes.K, queries + 2, sizes.E, *more)[:, rows[part]].reshape(-1, *more)

    return cut


def rows_of(part: str) -> Callable[[Array, FalconConfig], Array]:
    """GGUF files hold the rows of all queries, then those of all keys, then those of all values."""

    def cut(array: Array, config: FalconConfig) -> Array:
        queries, keys = config.sizes.H * config.sizes.E, (config.sizes.H + config.sizes.K) * config.sizes.E
        return array[{"query": slice(queries), "key": slice(queries, keys), "value": slice(keys, None)}[part]]

    return cut


def tensors(config: FalconConfig) -> list[TensorSpec]:
    name, in_gguf = ("ln_attn", "attn_norm_2") if config.two_norms else ("input_layernorm", "attn_norm")
    layer = linear_specs(("attention.norm", "D", name, in_gguf), bias=True)
    if config.two_norms:
        layer += linear_specs(("feedforward.norm", "D", "ln_mlp", "attn_norm"), bias=True)
    elif not config.parallel:
        layer += linear_specs(("feedforward.norm", "D", "post_attention_layernorm", None), bias=True)
    for part, shape in (("query", "HE D"), ("key", "KE D"), ("value", "KE D")):
        fused = (f"attention.{part}", shape, "self_attention.query_key_value", "attn_qkv")
        layer += linear_specs(fused, bias=config.biased, huggingface_fix=part_of_groups(part), gguf_fix=rows_of(part))
    layer += linear_specs(
        ("attention.output", "D HE", "self_attention.dense", "attn_output"),
        ("feedforward.up", "F D", "mlp.dense_h_to_4h", "ffn_up"),
        ("feedforward.down", "D F", "mlp.dense_4h_to_h", "ffn_down"),
        bias=config.biased,
    )
    return around(config.sizes.L, layer, "word_embeddings", "ln_f", "h.{}.")


OLDER = {"n_layer": "num_hidden_layers", "n_head": "num_attention_heads", "n_head_kv": "num_kv_heads"}
FALCON = Architecture(
    name="falcon",
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=("falcon",),
    read_gguf=from_gguf,
    prefix="transformer.",
    heads=OLDER_DECODER_HEADS,
    defaults={
        "activation": "gelu",
        "layer_norm_epsilon": 1e-5,
        "rope_theta": 10_000.0,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
)
ARCHITECTURES = (
    FALCON,
    replace(
        FALCON, model_types=("RefinedWeb", "RefinedWebModel"), gguf_names=(), read_huggingface=older_from_huggingface
    ),
)
