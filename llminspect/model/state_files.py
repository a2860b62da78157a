"""How files keep the layers that have a state: what families with such layers share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.errors import ModelError
from llminspect.model.config import Config, DecoderConfig
from llminspect.model.selective_states import Mamba, Mamba2
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, flat, linear_specs
from llminspect.model.states import State


def with_state(
    config: DecoderConfig, state: State, layers: tuple[int, ...], without_attention: tuple[int, ...] = ()
) -> DecoderConfig:
    """With a state in `layers`. Raises ModelError for a model that sees both ways: a state is made from the front."""
    if not layers:
        return config
    if not config.causal:
        raise ModelError("is_causal = false: a layer with a state can only read a text from its start")
    return replace(config, state=state, state_layers=layers, without_attention=without_attention)


def without_rotation(config: DecoderConfig) -> DecoderConfig:
    """Whose attention knows no positions: what came before is in the states."""
    known: dict[str, Any] = {"rotary": None}
    return replace(config, **known)


def kernel_specs(
    channels: str, width: int, huggingface: str, gguf: str, bias: bool | tuple[str, ...] | None = False
) -> list[TensorSpec]:
    """Of the short convolution of a state, each channel by itself; files may have an axis of length 1 in its middle."""
    kernel, *its_bias = linear_specs(("state.convolution", channels, huggingface, gguf), bias=bias)
    shape = f"{channels} {width}"
    return [replace(kernel, shape=shape, huggingface_fix=without_middle, gguf_fix=without_middle), *its_bias]


def without_middle(kernel: Array, config: Config) -> Array:
    return kernel.reshape(len(kernel), -1)


def biases(settings: Settings, maps: str, convolution: str) -> tuple[str, ...]:
    """The maps into and out of a state, and its convolution, as two flags say; the second is on where it is missing."""
    both = ("state.input", "state.output") if settings.flag(maps) else ()
    return (*both, "state.convolution") if settings.flag(convolution, True) else both


def groups(settings: Settings, key: str, heads: int) -> int:
    """How many groups of heads share what they write and read by."""
    number = settings.whole(key)
    if heads % number:
        raise settings.wrong(key, f"a divisor of {heads}, the number of heads")
    return number


def step_limits(settings: Settings) -> tuple[float, float] | None:
    """Between which a token's step lies; None: from 0 without end, which is where every step lies."""
    stated = settings.get("time_step_limit", [0.0, float("inf")])
    if isinstance(stated, list):  # JSON has no infinity, and the reference writes it as an object.
        stated = [float("inf") if end == {"__float__": "Infinity"} else end for end in stated]
    numbers = isinstance(stated, list) and len(stated) == 2 and all(type(end) in (int, float) for end in stated)
    if not numbers or not 0 <= stated[0] < stated[1]:
        raise settings.wrong("time_step_limit", "two numbers from 0 on, the least and the most")
    limits = float(stated[0]), float(stated[1])
    return None if limits == (0.0, float("inf")) else limits


def of_gguf(settings: Settings) -> tuple[int, int, int, int]:
    """Channels, the numbers each keeps, the rank of its step, and the width of the convolution."""
    names = ("inner_size", "state_size", "time_step_rank", "conv_kernel")
    channels, keys, rank, kernel = (settings.whole(f"ssm.{name}") for name in names)
    return channels, keys, rank, kernel


def grouped_of_gguf(settings: Settings) -> tuple[int, int, int, int, int]:
    """Of `Grouped`, whose rank is the number of heads: these, the numbers of each, the groups, their keys, the width of
    the convolution."""
    channels, keys, heads, kernel = of_gguf(settings)
    if channels % heads:
        raise settings.wrong("ssm.time_step_rank", f"a divisor of {channels}, the number of channels")
    return heads, channels // heads, groups(settings, "ssm.group_count", heads), keys, kernel


def mamba2_of_gguf(settings: Settings) -> Mamba2:
    return Mamba2(*grouped_of_gguf(settings), settings.number("attention.layer_norm_rms_epsilon"))


def attending_of_gguf(settings: Settings) -> tuple[int, ...]:
    """The layers with attention: those for which the file counts keys and values. From here on it states their number
    once, for all."""
    key = "attention.head_count_kv"
    stated, layers = settings.need(key), settings.whole("block_count")
    each = stated if isinstance(stated, list) else [stated] * layers
    counts = {count for count in each if count != 0}
    if len(each) != layers or len(counts) > 1 or not all(type(count) is int and count > 0 for count in counts):
        raise settings.wrong(key, f"one number, or 0, for each of {layers} layers")
    settings.values = {**settings.values, key: max(counts, default=settings.whole("attention.head_count"))}
    return tuple(index for index, count in enumerate(each) if count)


def others(layers: tuple[int, ...], config: Config) -> tuple[int, ...]:
    """All but those layers."""
    return tuple(index for index in range(config.sizes.L) if index not in layers)


def logarithm(speed: Array, config: Config) -> Array:
    """GGUF files hold −e to the power of what the others hold …"""
    logarithms: Array = np.log(-speed)
    return logarithms


def flat_logarithm(speed: Array, config: Config) -> Array:
    """… and of a head's one number an axis for it."""
    return flat(logarithm(speed, config), config)


def chosen_norms(state: Mamba, mixer: str) -> list[TensorSpec]:
    """Of the three parts of what a token chooses, as Jamba has them."""
    parts = (("step", "dt", state.rank), ("key", "b", state.keys), ("query", "c", state.keys))
    return [
        TensorSpec(
            f"state.{part}.norm.weight", str(width), f"{mixer}.{name}_layernorm.weight", f"ssm_{name}_norm.weight"
        )
        for part, name, width in parts
    ]


def mamba_specs(state: Mamba, mixer: str, biased: tuple[str, ...] | None) -> list[TensorSpec]:
    """Of a layer's Mamba, by what Hugging Face files call the layer's mixer."""
    channels, chosen = state.channels, state.rank + 2 * state.keys
    return [
        *linear_specs(
            ("state.input", f"{2 * channels} D", f"{mixer}.in_proj", "ssm_in"),
            ("state.output", f"D {channels}", f"{mixer}.out_proj", "ssm_out"),
            bias=biased,
        ),
        *kernel_specs(str(channels), state.kernel, f"{mixer}.conv1d", "ssm_conv1d", biased),
        *linear_specs(("state.selection", f"{chosen} {channels}", f"{mixer}.x_proj", "ssm_x")),
        *linear_specs(("state.step", f"{channels} {state.rank}", f"{mixer}.dt_proj", "ssm_dt"), bias=True),
        TensorSpec("state.speed", f"{channels} {state.keys}", f"{mixer}.A_log", "ssm_a", gguf_fix=logarithm),
        TensorSpec("state.skip", str(channels), f"{mixer}.D", "ssm_d"),
    ]


def mamba2_specs(state: Mamba2, mixer: str, biased: tuple[str, ...] | None) -> list[TensorSpec]:
    channels, heads = state.channels, str(state.heads)
    norm = TensorSpec("state.read.norm.weight", str(channels), f"{mixer}.norm.weight", "ssm_norm.weight", gguf_fix=flat)
    return [
        *linear_specs(
            ("state.input", f"{channels + state.convolved + state.heads} D", f"{mixer}.in_proj", "ssm_in"),
            ("state.output", f"D {channels}", f"{mixer}.out_proj", "ssm_out"),
            bias=biased,
        ),
        *kernel_specs(str(state.convolved), state.kernel, f"{mixer}.conv1d", "ssm_conv1d", biased),
        TensorSpec("state.step.bias", heads, f"{mixer}.dt_bias", "ssm_dt.bias"),
        TensorSpec("state.speed", heads, f"{mixer}.A_log", "ssm_a", gguf_fix=flat_logarithm),
        TensorSpec("state.skip", heads, f"{mixer}.D", "ssm_d", gguf_fix=flat),
        *([norm] if state.normed else []),
    ]
