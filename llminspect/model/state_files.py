"""How files keep the layers that have a state: what families with such layers share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.model.spec import TensorSpec, linear_specs

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.config import DecoderConfig
    from llminspect.model.states import State


def with_state(
    config: DecoderConfig, state: State, layers: tuple[int, ...], without_attention: tuple[int, ...] = ()
) -> DecoderConfig:
    """With a state in `layers`. Raises ModelError for a model that sees both ways: a state is made from the front."""
    if not layers:
        return config
    if not config.causal:
        raise ModelError("is_causal = false: a layer with a state reads a text from its front, and no other way")
    return replace(config, state=state, state_layers=layers, without_attention=without_attention)


def kernel_specs(
    channels: str, width: int, huggingface: str, gguf: str, bias: bool | tuple[str, ...] | None = False
) -> list[TensorSpec]:
    """Of the short convolution of a state, each channel by itself; files may have an axis of length 1 in its middle."""
    kernel, *its_bias = linear_specs(("state.convolution", channels, huggingface, gguf), bias=bias)
    shape = f"{channels} {width}"
    return [replace(kernel, shape=shape, huggingface_fix=without_middle, gguf_fix=without_middle), *its_bias]


def without_middle(kernel: Array, config: DecoderConfig) -> Array:
    return kernel.reshape(len(kernel), -1)
