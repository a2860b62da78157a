"""gpt-oss: experts with a clamped activation, a sink in each head's attention, windows on every other layer.

OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", section 2. Its published weights are 4-bit (mxfp4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llminspect.core.feedforward import ClampedSwiglu
from llminspect.core.rotary import Yarn
from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    settings.only("hidden_act", "silu")
    settings.skip("initial_context_length")  # The rotary settings say the same.
    chosen = files.chosen_experts(settings, "num_experts_per_tok", sizes.X)
    settings.only("experts_per_token", chosen)
    unit = ClampedSwiglu(settings.number("swiglu_alpha"), settings.number("swiglu_limit"))
    found = files.from_huggingface(settings, sizes, unit=unit)
    found = files.with_windows(found, settings, lambda index: index % 2 == 0)
    return replace(found, biased=files.attention_biases(settings), experts=files.Experts(chosen))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """The unit's numbers, the windows and how the ramp of the rotation is rounded are not stated there."""
    sizes = files.sizes_from_gguf(settings, settings.whole("expert_count"))
    sizes = replace(sizes, F=settings.whole("expert_feed_forward_length"))
    chosen = files.chosen_experts(settings, "expert_used_count", sizes.X)
    unit = ClampedSwiglu(DEFAULTS["swiglu_alpha"], DEFAULTS["swiglu_limit"])
    found = files.from_gguf(settings, sizes, unit=unit, biased=files.ATTENTION, experts=files.Experts(chosen))
    if isinstance(scaling := found.rotary.scaling, Yarn):
        found = replace(found, rotary=replace(found.rotary, scaling=replace(scaling, truncate=False)))
    return files.with_windows_of_gguf(found, settings, 2)


def transposed(array_XIO: files.Array, _: files.DecoderConfig) -> files.Array:
    return array_XIO.swapaxes(1, 2)


def gate_rows(array: files.Array, _: files.DecoderConfig) -> files.Array:
    """Gate and up are interleaved in the last axis."""
    return array[..., 0::2].swapaxes(1, -1)


def up_rows(array: files.Array, _: files.DecoderConfig) -> files.Array:
    return array[..., 1::2].swapaxes(1, -1)


FUSED = "mlp.experts.gate_up_proj"
EXPERTS = (
    *files.linear_specs(("feedforward.router", "X D", "mlp.router", "ffn_gate_inp"), bias=True),
    files.TensorSpec("feedforward.experts.gate.weight", "X F D", FUSED, "ffn_gate_exps.weight", gate_rows),
    files.TensorSpec("feedforward.experts.gate.bias", "X F", f"{FUSED}_bias", "ffn_gate_exps.bias", gate_rows),
    files.TensorSpec("feedforward.experts.up.weight", "X F D", FUSED, "ffn_up_exps.weight", up_rows),
    files.TensorSpec("feedforward.experts.up.bias", "X F", f"{FUSED}_bias", "ffn_up_exps.bias", up_rows),
    files.TensorSpec(
        "feedforward.experts.down.weight", "X D F", "mlp.experts.down_proj", "ffn_down_exps.weight", transposed
    ),
    files.TensorSpec("feedforward.experts.down.bias", "X D", "mlp.experts.down_proj_bias", "ffn_down_exps.bias"),
)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    sink = files.TensorSpec("attention.sink", "H", "self_attn.sinks", "attn_sinks.weight")
    return files.around_layers(config, [*files.RENAMED_NORMS_BEFORE, *files.attention_specs(config), sink, *EXPERTS])


ROTATION = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
DEFAULTS: dict[str, Any] = {
    "rope_parameters": ROTATION,
    "rms_norm_eps": 1e-5,
    "rope_theta": 150_000.0,
    "attention_bias": True,
    "sliding_window": 128,
    "head_dim": 64,
    "num_key_value_heads": 8,
    "num_experts_per_tok": 4,
    "swiglu_alpha": 1.702,
    "swiglu_limit": 7.0,
    "max_position_embeddings": 131_072,
}
ARCHITECTURE = files.family(
    "gpt-oss", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS, experts_alternate=True
)
