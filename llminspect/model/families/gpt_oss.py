"""gpt-oss: experts with a clamped activation, a sink in each head's attention, windows on every other layer.

OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", section 2. Its published weights are 4-bit (mxfp4), which is
refused; files with the weights as plain numbers are opened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.core.feedforward import ClampedSwiglu
from llminspect.model import decoder_files as files
from llminspect.model import settings as settings_of
from llminspect.model.decoder import Config, Experts, forward, readout
from llminspect.model.spec import Architecture, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    settings.only("hidden_act", "silu")
    settings.get("initial_context_length")  # The rotary settings say the same.
    chosen = settings.whole("num_experts_per_tok", settings.get("experts_per_token"))
    found = files.from_huggingface(settings, sizes, base=150_000.0)
    found = replace(
        files.with_windows(found, settings, lambda index: index % 2 == 0),
        unit=ClampedSwiglu(settings.number("swiglu_alpha", 1.702), settings.number("swiglu_limit", 7.0)),
        biased=files.ATTENTION if settings.get("attention_bias", True) else (),
        experts=Experts(chosen),
    )
    settings.only("experts_per_token", chosen)
    settings.done()
    return found


def transposed(array_XIO: Array, _: Config) -> Array:
    return array_XIO.swapaxes(1, 2)


def gate_rows(array: Array, _: Config) -> Array:
    """Gate and up are interleaved in the last axis."""
    return array[..., 0::2].swapaxes(1, -1)


def up_rows(array: Array, _: Config) -> Array:
    return array[..., 1::2].swapaxes(1, -1)


EXPERTS = (
    TensorSpec("feedforward.router.weight", "X D", "mlp.router.weight"),
    TensorSpec("feedforward.router.bias", "X", "mlp.router.bias"),
    TensorSpec("feedforward.experts.gate.weight", "X F D", "mlp.experts.gate_up_proj", huggingface_fix=gate_rows),
    TensorSpec("feedforward.experts.gate.bias", "X F", "mlp.experts.gate_up_proj_bias", huggingface_fix=gate_rows),
    TensorSpec("feedforward.experts.up.weight", "X F D", "mlp.experts.gate_up_proj", huggingface_fix=up_rows),
    TensorSpec("feedforward.experts.up.bias", "X F", "mlp.experts.gate_up_proj_bias", huggingface_fix=up_rows),
    TensorSpec("feedforward.experts.down.weight", "X D F", "mlp.experts.down_proj", huggingface_fix=transposed),
    TensorSpec("feedforward.experts.down.bias", "X D", "mlp.experts.down_proj_bias"),
)


def tensors(config: Config) -> list[TensorSpec]:
    sink = TensorSpec("attention.sink", "H", "self_attn.sinks")
    layer = [*files.NORMS_IN_FRONT, *files.attention_specs(config), sink, *EXPERTS]
    return files.around_layers(config, lambda _: layer)


ARCHITECTURES = (
    Architecture(
        name="gpt-oss",
        model_types=("gpt_oss",),
        gguf_names=(),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=None,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
)
