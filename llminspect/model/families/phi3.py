"""Phi-3: Llama's layers with the queries, keys and values in one matrix, and gate and up in another.

Abdin et al. 2024, "Phi-3 Technical Report", section 2. The long versions slow each pair of the rotation by a number of
its own (LongRoPE).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.core.position.rotary import Divided
from llminspect.model import decoder_files as files
from llminspect.model import settings as settings_of
from llminspect.model.decoder import Config, forward, readout
from llminspect.model.spec import Architecture, TensorSpec, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    settings.get("original_max_position_embeddings")  # Only of use, and then needed, with a scaling.
    found = files.from_huggingface(settings, files.sizes_from_huggingface(settings))
    found = files.with_windows(found, settings, lambda _: settings.get("sliding_window") is not None)
    found = replace(found, unit=files.gated_unit(settings))
    for key in ("full_attn_mod", "interpolate_factor"):  # In Phi-4-mini's files; the reference implementation has none.
        settings.only(key, 1)
    settings.done()
    return found


def config_from_gguf(metadata: Mapping[str, Any]) -> Config:
    settings = settings_of.gguf(metadata, "phi3")
    sizes = files.sizes_from_gguf(settings)
    found = files.from_gguf(settings, sizes)
    window = settings.get("attention.sliding_window") or None
    context = settings.whole("rope.scaling.original_context_length", sizes.context)
    scaling = Divided(context, settings.number("rope.scaling.attn_factor", 1.0))
    rotary = replace(found.rotary, scaling=scaling)
    settings.done()
    return replace(found, window=window, windowed=tuple(range(sizes.L)) if window else (), biased=(), rotary=rotary)


def query_key_value(config: Config) -> dict[str, int]:
    sizes = config.sizes
    return {"query": sizes.H * sizes.E, "key": sizes.K * sizes.E, "value": sizes.K * sizes.E}


def gate_up(config: Config) -> dict[str, int]:
    return {"gate": config.sizes.F, "up": config.sizes.F}


def _fused(name: str, shape: str, huggingface: str, gguf: str, parts: Callable[[Config], dict[str, int]]) -> TensorSpec:
    cut = rows_of(name.rpartition(".")[2], parts)
    return TensorSpec(f"{name}.weight", shape, huggingface, gguf, huggingface_fix=cut, gguf_fix=cut)


QUERY_KEY_VALUE = ("self_attn.qkv_proj.weight", "attn_qkv.weight")
GATE_UP = ("mlp.gate_up_proj.weight", "ffn_up.weight")
LAYER = (
    *files.NORMS_IN_FRONT,
    _fused("attention.query", "HE D", *QUERY_KEY_VALUE, query_key_value),
    _fused("attention.key", "KE D", *QUERY_KEY_VALUE, query_key_value),
    _fused("attention.value", "KE D", *QUERY_KEY_VALUE, query_key_value),
    TensorSpec("attention.output.weight", "D HE", "self_attn.o_proj.weight", "attn_output.weight"),
    _fused("feedforward.gate", "F D", *GATE_UP, gate_up),
    _fused("feedforward.up", "F D", *GATE_UP, gate_up),
    TensorSpec("feedforward.down.weight", "D F", "mlp.down_proj.weight", "ffn_down.weight"),
)


def tensors(config: Config) -> list[TensorSpec]:
    pairs = str(config.rotary.width // 2)
    return [
        *files.around_layers(config, lambda _: LAYER),
        TensorSpec("rotary.divisors.short", pairs, None, "rope_factors_short.weight", optional=True),
        TensorSpec("rotary.divisors.long", pairs, None, "rope_factors_long.weight", optional=True),
    ]


ARCHITECTURES = (
    Architecture(
        name="phi3",
        model_types=("phi3",),
        gguf_names=("phi3",),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=config_from_gguf,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
)
