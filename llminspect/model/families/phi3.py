"""Phi-3: Llama's layers with the queries, keys and values in one matrix, and gate and up in another.

Abdin et al. 2024, "Phi-3 Technical Report", section 2. The long versions slow each pair of the rotation by a number of
its own (LongRoPE).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.core.rotary import Divided
from llminspect.model import decoder_files as files
from llminspect.model.spec import TensorSpec, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.model.config import DecoderConfig
    from llminspect.model.settings import Settings


def from_huggingface(settings: Settings) -> DecoderConfig:
    settings.skip("original_max_position_embeddings")  # Only of use, and then needed, with a scaling.
    for key in ("full_attn_mod", "interpolate_factor"):  # In Phi-4-mini's files; the reference implementation has none.
        settings.only(key, 1)
    return files.with_windows(files.from_huggingface(settings), settings)


def from_gguf(settings: Settings) -> DecoderConfig:
    found = files.from_gguf(settings, biased=())
    window = settings.get("attention.sliding_window") or None
    context = settings.whole("rope.scaling.original_context_length", found.sizes.context)
    scaling = Divided(context, settings.number("rope.scaling.attn_factor", 1.0))
    return replace(
        found,
        window=window,
        windowed=tuple(range(found.sizes.L)) if window else (),
        rotary=replace(found.rotary, scaling=scaling),
    )


def query_key_value(config: DecoderConfig) -> dict[str, int]:
    sizes = config.sizes
    return {"query": sizes.H * sizes.E, "key": sizes.K * sizes.E, "value": sizes.K * sizes.E}


def gate_up(config: DecoderConfig) -> dict[str, int]:
    return {"gate": config.sizes.F, "up": config.sizes.F}


def _fused(
    name: str, shape: str, huggingface: str, gguf: str, parts: Callable[[DecoderConfig], dict[str, int]]
) -> TensorSpec:
    cut = rows_of(name.rpartition(".")[2], parts)
    return TensorSpec(f"{name}.weight", shape, huggingface, gguf, huggingface_fix=cut, gguf_fix=cut)


QUERY_KEY_VALUE = ("self_attn.qkv_proj.weight", "attn_qkv.weight")
GATE_UP = ("mlp.gate_up_proj.weight", "ffn_up.weight")
LAYER = (
    *files.NORMS_BEFORE,
    _fused("attention.query", "HE D", *QUERY_KEY_VALUE, query_key_value),
    _fused("attention.key", "KE D", *QUERY_KEY_VALUE, query_key_value),
    _fused("attention.value", "KE D", *QUERY_KEY_VALUE, query_key_value),
    TensorSpec("attention.output.weight", "D HE", "self_attn.o_proj.weight", "attn_output.weight"),
    _fused("feedforward.gate", "F D", *GATE_UP, gate_up),
    _fused("feedforward.up", "F D", *GATE_UP, gate_up),
    TensorSpec("feedforward.down.weight", "D F", "mlp.down_proj.weight", "ffn_down.weight"),
)


def tensors(config: DecoderConfig) -> list[TensorSpec]:
    pairs = str(config.rotary.width // 2)
    return [
        *files.around_layers(config, LAYER),
        TensorSpec("rotary.divisors.short", pairs, None, "rope_factors_short.weight", optional=True),
        TensorSpec("rotary.divisors.long", pairs, None, "rope_factors_long.weight", optional=True),
    ]


ARCHITECTURES = (files.family("phi3", from_huggingface, tensors, gguf="phi3", read_gguf=from_gguf),)
