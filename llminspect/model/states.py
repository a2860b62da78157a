"""The kinds of state that a layer may keep, each as what its arrays make of what the layer reads.

Each has the taps `state.query`, `.key`, `.value`, `.weights` and `.mixed`, and `.decay` and `.rate` where it has such
steps: what `core/recurrence.py` works with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import ClassVar, Literal, Protocol

import numpy as np

from llminspect.core.array import Array, ByName, mapped
from llminspect.core.cache import StateCache
from llminspect.core.dataclass import dataclass
from llminspect.core.recurrence import convolution_weights, convolve
from llminspect.core.tap import Tap
from llminspect.core.threads import by_rows


@dataclass(frozen=True)
class Reading:
    """What a state works with: its arrays, the tokens' vectors [..., T, D], what it kept of those before, who looks on
    (`name` is in front of the steps), and which tokens [..., T] are hidden, if any."""

    arrays: ByName
    read_TD: Array
    before: StateCache | None
    tap: Tap
    name: str
    hidden_T: Array | None = None
    lent: dict[str, Array] = field(default_factory=dict)
    """What layers lay down in a pass for those after them."""

    def mapped(self, part: str) -> Array:
        """The linear map `part` of what is read, [..., T, O]."""
        (y_TO,) = by_rows(
            lambda x_TD: (mapped(self.arrays, f"state.{part}", x_TD),), self.read_TD, rows=self.read_TD.shape[-2]
        )
        return y_TO

    def convolved(self, x_TC: Array) -> tuple[Array, Array]:
        """Through the layer's short convolution, and the last inputs of that."""
        kernel_CU, bias_C = self.arrays["state.convolution.weight"], self.arrays.get("state.convolution.bias")
        return convolve(x_TC, kernel_CU, bias_C, None if self.before is None else self.before.inputs_UC)

    def shown(self, x_TC: Array) -> Array:
        """With noughts for the tokens that are hidden."""
        return x_TC if self.hidden_T is None else np.where(self.hidden_T[..., None], np.zeros((), x_TC.dtype), x_TC)

    def see(self, step: str, array: Array) -> Array:
        return self.tap(f"{self.name}.{step}", array)

    def mixed(self, mixed_JTW: Array, value_JTW: Array, weights: Callable[[], Array]) -> Array:
        """What the heads read, [..., T, J·W]. Where somebody looks at the weights they are made, and what a tap makes
        of them acts: y = Σ weight · value."""
        if self.tap.wants(f"{self.name}.weights"):
            made_JTS = weights()
            seen_JTS = self.see("weights", made_JTS)
            if seen_JTS is not made_JTS:
                mixed_JTW = mixed_JTW + (seen_JTS - made_JTS) @ value_JTW
        mixed_TJW = self.see("mixed", mixed_JTW).swapaxes(-2, -3)
        return mixed_TJW.reshape(*mixed_TJW.shape[:-2], -1)


class State(Protocol):
    """A kind of state; its fields are what the files say of it."""

    @property
    def named(self) -> str:
        """What papers call it."""
        ...

    @property
    def heads(self) -> int:
        """How many heads it has, or channels that go each by themselves."""
        ...

    @property
    def each(self) -> Literal["head", "channel"]:
        """Which of the two."""
        ...

    def mix(self, reading: Reading) -> tuple[Array, StateCache]:
        """What the tokens read from the state, [..., T, C], before the output matrix; and what it keeps."""
        ...


def through_state(state: State, reading: Reading) -> tuple[Array, StateCache]:
    """What a layer with a state adds before its output matrix, and what it keeps. A hidden token offers nothing."""
    return state.mix(replace(reading, read_TD=reading.shown(reading.read_TD)))


@dataclass(frozen=True)
class ShortConvolution:
    """Each channel by itself: a gate, a weighted sum of the last `kernel` tokens, another gate.

    Liquid AI 2025, "LFM2 Technical Report", section 2.
    """

    channels: int
    kernel: int
    """How many tokens a token sees, itself included."""

    named: ClassVar[str] = "gated short convolution"
    each: ClassVar[Literal["channel"]] = "channel"

    @property
    def heads(self) -> int:
        return self.channels

    def mix(self, reading: Reading) -> tuple[Array, StateCache]:
        key_TJ, query_TJ, value_TJ = np.split(reading.mapped("input"), 3, axis=-1)
        query_JT1, key_JT1, value_JT1 = (
            reading.see(step, x_TJ.swapaxes(-1, -2)[..., None])
            for step, x_TJ in (("query", query_TJ), ("key", key_TJ), ("value", reading.shown(value_TJ)))
        )
        read_TC, inputs_UC = reading.convolved((key_JT1 * value_JT1)[..., 0].swapaxes(-1, -2))
        mixed_JT1 = query_JT1 * read_TC.swapaxes(-1, -2)[..., None]
        kernel_JU = reading.arrays["state.convolution.weight"]
        mixed_TC = reading.mixed(
            mixed_JT1, value_JT1, lambda: convolution_weights(query_JT1[..., 0], key_JT1[..., 0], kernel_JU)
        )
        return mixed_TC, StateCache(inputs_UC)
