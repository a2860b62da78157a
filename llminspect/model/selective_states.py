"""The states of Mamba, Mamba 2 and a gated DeltaNet: how long each token is kept, how it is written and read, hangs on
the tokens; in the last it first takes out of the state what that holds for its key, in part.

Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", section 3; Dao and Gu 2024,
"Transformers are SSMs", section 7; Yang, Kautz and Hatamizadeh 2024, "Gated Delta Networks: Improving Mamba2 with Delta
Rule", section 3.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from llminspect.core.activations import sigmoid, softplus
from llminspect.core.array import Array, mapped
from llminspect.core.cache import StateCache
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import silu
from llminspect.core.norm import rms_norm
from llminspect.core.recurrence import Recurrence, effective_weights, scan
from llminspect.model.states import Reading


def scanned(reading: Reading, steps: Recurrence) -> tuple[Array, Array]:
    """What the tokens read, [..., T, C], and the state after them."""
    seen = Recurrence(
        reading.see("query", steps.query_JTN),
        reading.see("key", steps.key_JTN),
        reading.see("value", steps.value_JTW),
        reading.see("decay", steps.decay_JTN),
        None if steps.rate_JT is None else reading.see("rate", steps.rate_JT),
        None if steps.removal_JTN is None else reading.see("removal", steps.removal_JTN),
        None if steps.rates_JTN is None else reading.see("rates", steps.rates_JTN),
        steps.skip_J,
    )
    mixed_JTW, state_JNW = scan(seen, None if reading.before is None else reading.before.state_JNW)
    return reading.mixed(mixed_JTW, seen.value_JTW, lambda: effective_weights(seen)), state_JNW


@dataclass(frozen=True)
class Mamba:
    """Each channel by itself, with numbers of its own that decay at speeds of their own."""

    channels: int
    keys: int
    """How many numbers each keeps."""
    rank: int
    """Through how many numbers a token says how long each channel keeps."""
    kernel: int
    norm_epsilon: float | None = None
    """Where each of the three parts of what a token chooses is normed, with a weight (Jamba) or none (Falcon-Mamba)."""

    named: ClassVar[str] = "selective state space (Mamba)"
    each: ClassVar[Literal["channel"]] = "channel"

    @property
    def heads(self) -> int:
        return self.channels

    def mix(self, reading: Reading) -> tuple[Array, StateCache]:
        value_TC, gate_TC = np.split(reading.mapped("input"), 2, axis=-1)
        value_TC, inputs_UC = reading.convolved(value_TC)
        value_TC, arrays = reading.shown(silu(value_TC)), reading.arrays
        chosen = np.split(mapped(arrays, "state.selection", value_TC), [self.rank, self.rank + self.keys], axis=-1)
        step_TR, key_TN, query_TN = (
            self._normed(x_TN, arrays.get(f"state.{part}.norm.weight"))
            for x_TN, part in zip(chosen, ("step", "key", "query"), strict=True)
        )
        step_CT1 = softplus(mapped(arrays, "state.step", step_TR)).swapaxes(-1, -2)[..., None]
        speed_C1N = -np.exp(arrays["state.speed"])[:, None]
        steps = Recurrence(
            query_JTN=query_TN[..., None, :, :],
            key_JTN=step_CT1 * key_TN[..., None, :, :],
            value_JTW=value_TC.swapaxes(-1, -2)[..., None],
            decay_JTN=np.exp(step_CT1 * speed_C1N),
            skip_J=arrays["state.skip"],
        )
        read_TC, state_JNW = scanned(reading, steps)
        return read_TC * silu(gate_TC), StateCache(inputs_UC, state_JNW)

    def _normed(self, x_TN: Array, weight_N: Array | None) -> Array:
        return x_TN if self.norm_epsilon is None else rms_norm(x_TN, weight_N, self.norm_epsilon)


@dataclass(frozen=True)
class Grouped:
    """What has heads of several numbers a token, which keep a matrix each, and groups of heads that share what they
    write and read by."""

    heads: int
    values: int
    """Numbers of a token in each head."""
    groups: int
    keys: int
    """How many numbers a group writes or reads by: as many values each head keeps."""
    kernel: int
    norm_epsilon: float
    """Of the norm of what is read."""
    each: ClassVar[Literal["head"]] = "head"

    @property
    def channels(self) -> int:
        return self.heads * self.values

    @property
    def convolved(self) -> int:
        """Channels that go through the short convolution: values, and what each group writes and reads by."""
        return self.channels + 2 * self.groups * self.keys


@dataclass(frozen=True)
class Mamba2(Grouped):
    """Each head decays as a whole; the norm is over each group."""

    named: ClassVar[str] = "selective state space (Mamba 2)"
    limits: tuple[float, float] | None = None
    """Between which a token's step lies, if that is narrower than from nought without end."""
    normed: bool = True
    """Whether there is a norm."""
    gate_last: bool = False
    """Whether the gate comes after the norm, and not before it."""

    def mix(self, reading: Reading) -> tuple[Array, StateCache]:
        arrays, width = reading.arrays, self.channels
        gate_TC, through_TC, step_TJ = np.split(reading.mapped("input"), [width, width + self.convolved], axis=-1)
        through_TC, inputs_UC = reading.convolved(through_TC)
        through_TC = reading.shown(silu(through_TC))
        value_TC, key_TC, query_TC = np.split(through_TC, [width, width + self.groups * self.keys], axis=-1)
        step_TJ = softplus(step_TJ + arrays["state.step.bias"])
        step_TJ = step_TJ if self.limits is None else np.clip(step_TJ, *self.limits)
        step_JT1 = step_TJ.swapaxes(-1, -2)[..., None]
        steps = Recurrence(
            query_JTN=self._of_groups(query_TC),
            key_JTN=step_JT1 * self._of_groups(key_TC),
            value_JTW=value_TC.reshape(*value_TC.shape[:-1], self.heads, self.values).swapaxes(-2, -3),
            decay_JTN=np.exp(step_JT1 * -np.exp(arrays["state.speed"])[:, None, None]),
            skip_J=arrays["state.skip"],
        )
        read_TC, state_JNW = scanned(reading, steps)
        gate_TC, weight_C = silu(gate_TC), arrays.get("state.read.norm.weight")
        if self.gate_last:
            read_TC = self._normed(read_TC, weight_C) * gate_TC
        else:
            read_TC = self._normed(read_TC * gate_TC, weight_C)
        return read_TC, StateCache(inputs_UC, state_JNW)

    def _of_groups(self, x_TC: Array) -> Array:
        """What a group writes or reads by, for each of its heads, [..., J, T, N]."""
        x_GTN = x_TC.reshape(*x_TC.shape[:-1], self.groups, self.keys).swapaxes(-2, -3)
        return np.repeat(x_GTN, self.heads // self.groups, axis=-3)

    def _normed(self, x_TC: Array, weight_C: Array | None) -> Array:
        """Each group by itself."""
        if weight_C is None:
            return x_TC
        x_TGC = x_TC.reshape(*x_TC.shape[:-1], self.groups, -1)
        return rms_norm(x_TGC, None, self.norm_epsilon).reshape(x_TC.shape) * weight_C


TINY = 1e-6
"""What keeps the length of a query or a key from being nought."""


@dataclass(frozen=True)
class GatedDeltaNet(Grouped):
    """Queries and keys, which several heads may share, are brought to length one; the norm comes before the gate."""

    named: ClassVar[str] = "gated delta rule (DeltaNet)"

    def mix(self, reading: Reading) -> tuple[Array, StateCache]:
        arrays, width = reading.arrays, self.groups * self.keys
        through_TC, inputs_UC = reading.convolved(reading.mapped("input"))
        query_TC, key_TC, value_TC = np.split(reading.shown(silu(through_TC)), [width, 2 * width], axis=-1)
        step_JT1 = softplus(reading.mapped("step")).swapaxes(-1, -2)[..., None]
        steps = Recurrence(
            query_JTN=self._of_groups(query_TC) * self.keys**-0.5,
            key_JTN=self._of_groups(key_TC),
            value_JTW=value_TC.reshape(*value_TC.shape[:-1], self.heads, self.values).swapaxes(-2, -3),
            decay_JTN=np.exp(step_JT1 * -np.exp(arrays["state.speed"])[:, None, None]),
            rate_JT=sigmoid(reading.mapped("rate")).swapaxes(-1, -2),
        )
        read_TC, state_JNW = scanned(reading, steps)
        read_TJW = read_TC.reshape(*read_TC.shape[:-1], self.heads, self.values)
        normed_TJW = rms_norm(read_TJW, arrays["state.read.norm.weight"], self.norm_epsilon)
        return normed_TJW.reshape(read_TC.shape) * silu(reading.mapped("gate")), StateCache(inputs_UC, state_JNW)

    def _of_groups(self, x_TC: Array) -> Array:
        """Queries or keys of length one, for each head, [..., J, T, N]."""
        x_GTN = x_TC.reshape(*x_TC.shape[:-1], self.groups, self.keys).swapaxes(-2, -3)
        x_GTN = x_GTN / np.sqrt((x_GTN * x_GTN).sum(axis=-1, keepdims=True) + TINY)
        return np.repeat(x_GTN, self.heads // self.groups, axis=-3)
