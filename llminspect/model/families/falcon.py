"""Falcon: queries share one key/value head, or one a group; both steps of a layer read the same stream.

Almazrouei et al. 2023, "The Falcon Series of Open Language Models", section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.model import rotary_files
from llminspect.model.config import HUGGINGFACE, Config, Sizes, read_sizes
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.settings import ACTIVATIONS
from llminspect.model.spec import Architecture, TensorSpec, for_layers, linear_specs
from llminspect.model.transformer import forward, readout

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.core.array import Array
    from llminspect.core.rotary import Rotary
    from llminspect.model.settings import Settings


@dataclass(frozen=True, kw_only=True)
class FalconConfig(Config):
    norm = "layer"
    sizes: Sizes
    norm_epsilon: float
    activation: str
    rotary: Rotary
    parallel: bool
    two_norms: bool
    """Whether steps side by side have a norm each."""
    biased: bool
    tied: bool
    causal: bool = True


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
    return FalconConfig(
        sizes=sizes,
        norm_epsilon=settings.number("layer_norm_epsilon"),
        activation=settings.one_of("activation", ACTIVATIONS),
        rotary=rotary_files.from_huggingface(settings, sizes.E, sizes.context),
        parallel=parallel,
        two_norms=norms == 2,
        biased=settings.flag("bias", False),
        tied=settings.flag("tie_word_embeddings"),
        causal=settings.flag("is_causal", True),
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


def tensors(config: FalconConfig) -> list[TensorSpec]:
    norms = {"attention.norm": "ln_attn" if config.two_norms else "input_layernorm"}
    if config.two_norms or not config.parallel:
        norms["feedforward.norm"] = "ln_mlp" if config.two_norms else "post_attention_layernorm"
    layer = linear_specs(*((name, "D", file, None) for name, file in norms.items()), bias=True)
    for part, shape in (("query", "HE D"), ("key", "KE D"), ("value", "KE D")):
        fused = (f"attention.{part}", shape, "self_attention.query_key_value", None)
        layer += linear_specs(fused, bias=config.biased, huggingface_fix=part_of_groups(part))
    layer += linear_specs(
        ("attention.output", "D HE", "self_attention.dense", None),
        ("feedforward.up", "F D", "mlp.dense_h_to_4h", None),
        ("feedforward.down", "D F", "mlp.dense_4h_to_h", None),
        bias=config.biased,
    )
    return [
        TensorSpec("embedding.weight", "V D", "word_embeddings.weight"),
        *linear_specs(("final.norm", "D", "ln_f", None), bias=True),
        TensorSpec("unembedding.weight", "V D", "lm_head.weight", optional=True),
        *for_layers(config.sizes.L, layer, huggingface="h.{}."),
    ]


ARCHITECTURES = (
    Architecture(
        name="falcon",
        model_types=("falcon",),
        read_huggingface=from_huggingface,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="transformer.",
        heads=OLDER_DECODER_HEADS,
        defaults={
            "activation": "gelu",
            "layer_norm_epsilon": 1e-5,
            "rope_theta": 10_000.0,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
        },
    ),
)
