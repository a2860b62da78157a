"""GPT-NeoX, as in Pythia: part of each head is turned by position, both steps of a layer read the same stream.

Black et al. 2022, "GPT-NeoX-20B", section 2.1; Biderman et al. 2023, "Pythia", section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model import rotary_files
from llminspect.model.config import GGUF, HUGGINGFACE, OlderConfig, read_older, read_sizes
from llminspect.model.copies import ROTATION, Copy, causal_rule, hiding_number
from llminspect.model.heads import OLDER_DECODER_HEADS
from llminspect.model.settings import Settings
from llminspect.model.spec import Architecture, TensorSpec, around, linear_specs


@dataclass(frozen=True, kw_only=True)
class NeoXConfig(OlderConfig):
    stated = "sizes norm_epsilon activation rotary parallel attention_bias tied causal"
    attention_bias: bool


def from_huggingface(settings: Settings) -> NeoXConfig:
    sizes = read_sizes(settings, HUGGINGFACE)
    # Files of the years between the two forms state each of these under both names.
    for key, older in (("rope_theta", "rotary_emb_base"), ("partial_rotary_factor", "rotary_pct")):
        if settings.get(older) is not None:
            settings.defaults[key] = settings.number(older)
            settings.only(key, settings.number(older))
    return read_older(
        NeoXConfig,
        settings,
        sizes,
        rotary=rotary_files.from_huggingface(settings, sizes.E, sizes.context),
        parallel=settings.flag("use_parallel_residual"),
        attention_bias=settings.flag("attention_bias"),
        causal=settings.flag("is_causal", True),
    )


def from_gguf(settings: Settings) -> NeoXConfig:
    sizes = read_sizes(settings, GGUF)
    return NeoXConfig(
        sizes=sizes,
        norm_epsilon=settings.number("attention.layer_norm_epsilon"),
        activation="gelu",
        rotary=rotary_files.from_gguf(settings, sizes.E, sizes.context),
        parallel=settings.flag("use_parallel_residual", True),
        attention_bias=True,
        causal=settings.flag("attention.causal", True),
    )


def part_of_heads(part: int) -> Callable[[Array, NeoXConfig], Array]:
    """The fused matrix holds, head by head, the rows of its query, of its key and of its value."""

    def cut(array: Array, config: NeoXConfig) -> Array:
        heads, width = config.sizes.H, config.sizes.E
        return array.reshape(heads, 3, width, -1)[:, part].reshape(heads * width, *array.shape[1:])

    return cut


def third(part: int) -> Callable[[Array, NeoXConfig], Array]:
    """GGUF files hold the rows of all queries, then those of all keys, then those of all values."""

    def cut(array: Array, config: NeoXConfig) -> Array:
        rows = config.sizes.H * config.sizes.E
        return array[part * rows : (part + 1) * rows]

    return cut


def fused_by_heads(
    huggingface: str, gguf: str | None, bias: bool, fix: Callable[[int], Callable[[Array, Any], Array]] = part_of_heads
) -> list[TensorSpec]:
    """Queries, keys and values in one matrix: in GGUF files in thirds, in the others as `fix` says."""
    return [
        spec
        for part, name in enumerate(("query", "key", "value"))
        for spec in linear_specs(
            (f"attention.{name}", "HE D", huggingface, gguf),
            bias=bias,
            huggingface_fix=fix(part),
            gguf_fix=third(part) if gguf else None,
        )
    ]


def tensors(config: NeoXConfig) -> list[TensorSpec]:
    layer = [
        *linear_specs(("attention.norm", "D", "input_layernorm", "attn_norm"), bias=True),
        *fused_by_heads("attention.query_key_value", "attn_qkv", config.attention_bias),
        *linear_specs(("attention.output", "D HE", "attention.dense", "attn_output"), bias=config.attention_bias),
        *linear_specs(
            ("feedforward.norm", "D", "post_attention_layernorm", "ffn_norm"),
            ("feedforward.up", "F D", "mlp.dense_h_to_4h", "ffn_up"),
            ("feedforward.down", "D F", "mlp.dense_4h_to_h", "ffn_down"),
            bias=True,
        ),
    ]
    return around(config.sizes.L, layer, "embed_in", "final_layer_norm", "layers.{}.", words="embed_out")


ARCHITECTURE = Architecture(
    name="gpt-neox",
    model_types=("gpt_neox",),
    read_huggingface=from_huggingface,
    tensors=tensors,
    gguf_names=("gptneox",),
    read_gguf=from_gguf,
    prefix="gpt_neox.",
    heads=OLDER_DECODER_HEADS,
    defaults={
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "partial_rotary_factor": 0.25,
        "use_parallel_residual": True,
        "attention_bias": True,
        "max_position_embeddings": 2048,
    },
    ignored=(
        Copy("layers.*.attention.bias", agrees=causal_rule),
        Copy("layers.*.attention.masked_bias", agrees=hiding_number),
        ROTATION,
    ),
)
