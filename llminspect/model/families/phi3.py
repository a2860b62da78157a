"""Phi-3: Llama's layers with the queries, keys and values in one matrix, and gate and up in another.

Abdin et al. 2024, "Phi-3 Technical Report", section 2. The long versions slow each pair of the rotation by a number of
its own (LongRoPE).
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.rotary import Divided
from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.skip("original_max_position_embeddings")  # Only of use, and then needed, with a scaling.
    for key in ("full_attn_mod", "interpolate_factor"):  # In Phi-4-mini's files; the reference implementation has none.
        settings.only(key, 1)
    return files.with_windows(files.from_huggingface(settings), settings)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return completed(settings, files.from_gguf(settings, biased=()))


def completed(settings: files.Settings, config: files.DecoderConfig) -> files.DecoderConfig:
    """With a window on all layers, if the file states one, and a rotation whose pairs are slowed by numbers that it has
    as tensors, if it has any."""
    window = settings.get("attention.sliding_window") or None
    windowed = tuple(range(config.sizes.L)) if window else ()
    context = settings.whole("rope.scaling.original_context_length", config.sizes.context)
    scaling = Divided(context, settings.number("rope.scaling.attn_factor", 1.0))
    rotary = replace(config.rotary, scaling=scaling)
    return replace(config, window=window, windowed=windowed, rotary=rotary)


QUERY_KEY_VALUE = {"attention.query": "HE D", "attention.key": "KE D", "attention.value": "KE D"}
GATE_UP = {"feedforward.gate": "F D", "feedforward.up": "F D"}
LAYER = (
    *files.NORMS_BEFORE,
    *files.fused_specs(QUERY_KEY_VALUE, "self_attn.qkv_proj", "attn_qkv"),
    *files.linear_specs(("attention.output", "D HE", "self_attn.o_proj", "attn_output")),
    *files.fused_specs(GATE_UP, "mlp.gate_up_proj", "ffn_up"),
    *files.linear_specs(("feedforward.down", "D F", "mlp.down_proj", "ffn_down")),
)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return [*files.around_layers(config, LAYER), *files.long_and_short_divisor_specs(config)]


ARCHITECTURE = files.family(
    "phi3",
    from_huggingface,
    tensors,
    read_gguf=from_gguf,
    defaults={
        "rms_norm_eps": 1e-5,
        "partial_rotary_factor": 1.0,
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "pad_token_id": 32_000,
    },
)
