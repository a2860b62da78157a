"""The state of RWKV-7: a token takes out what the state holds under one key, in part, and writes under another.

Peng et al. 2025, "RWKV-7 'Goose' with Expressive Dynamic State Evolution" (arXiv 2503.14456), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from llminspect.core.activations import sigmoid
from llminspect.core.array import Array, ByName, mapped
from llminspect.core.cache import StateCache
from llminspect.core.dataclass import dataclass
from llminspect.core.norm import layer_norm
from llminspect.core.recurrence import Recurrence, shifted
from llminspect.model.selective_states import scanned
from llminspect.model.states import Reading

SLOWEST = math.exp(-0.5)
"""A number of the state keeps at least e to the power of −this."""
TINY = 1e-12
"""What keeps the length of a key from being nought."""


@dataclass(frozen=True)
class Rwkv7:
    """Heads that each keep a square matrix. What a token reads is a mix of its vector and of the one before it, another
    for each purpose; values are mixed with those of the first layer."""

    heads: int
    width: int
    """Numbers of a key, and of a value, in each head."""
    decay_rank: int
    """Through how many numbers a token says what the state keeps, …"""
    rate_rank: int
    """… how much is taken out of it, …"""
    value_rank: int
    """… how much of the first layer's value counts, …"""
    gate_rank: int
    """… and how far the gate opens."""
    norm_epsilon: float
    """Of the norm of what each head reads."""

    @property
    def named(self) -> str:
        return "generalized delta rule (RWKV-7)"

    @property
    def each(self) -> Literal["head", "channel"]:
        return "head"

    def mix(self, reading: Reading) -> tuple[Array, StateCache]:
        arrays, read_TD = reading.arrays, reading.read_TD
        before_TD = shifted(read_TD, None if reading.before is None else reading.before.inputs_UC)
        parts = (read_TD + (before_TD - read_TD) * share_D for share_D in arrays["state.shift"])
        query_TD, decay_TD, key_TD, value_TD, rate_TD, gate_TD = parts
        query_TC, key_TC = mapped(arrays, "state.query", query_TD), mapped(arrays, "state.key", key_TD)
        value_TC = reading.shown(self._values(reading, value_TD))
        rate_TC = sigmoid(_through(arrays, "rate", rate_TD))
        removed_JTN = self._of_heads(key_TC * arrays["state.removal"])
        length_JT1 = np.sqrt((removed_JTN * removed_JTN).sum(axis=-1, keepdims=True))
        decay_TC = np.exp(-SLOWEST * sigmoid(_through(arrays, "decay", decay_TD, np.tanh)))
        steps = Recurrence(
            query_JTN=self._of_heads(query_TC),
            key_JTN=self._of_heads(key_TC * (1 + (rate_TC - 1) * arrays["state.writing"])),
            value_JTW=self._of_heads(value_TC),
            decay_JTN=self._of_heads(decay_TC),
            removal_JTN=removed_JTN / np.maximum(length_JT1, TINY),
            rates_JTN=self._of_heads(rate_TC),
        )
        read_TC, state_JNW = scanned(reading, steps)
        normed_TJW = layer_norm(read_TC.reshape(*read_TC.shape[:-1], self.heads, -1), None, None, self.norm_epsilon)
        normed_TC = (
            normed_TJW.reshape(read_TC.shape) * arrays["state.read.norm.weight"] + arrays["state.read.norm.bias"]
        )
        bonus_JT1 = (steps.query_JTN * steps.key_JTN * arrays["state.bonus"][:, None]).sum(axis=-1, keepdims=True)
        bonus_TJW = (reading.see("bonus", bonus_JT1) * steps.value_JTW).swapaxes(-2, -3)
        gate_TC = mapped(arrays, "state.gate.out", sigmoid(mapped(arrays, "state.gate.in", gate_TD)))
        return (normed_TC + bonus_TJW.reshape(read_TC.shape)) * gate_TC, StateCache(read_TD[..., -1:, :], state_JNW)

    def _values(self, reading: Reading, value_TD: Array) -> Array:
        """Those of the first layer are kept for the others, which take a share of them for their own."""
        value_TC = mapped(reading.arrays, "state.value", value_TD)
        if reading.arrays.get("state.first.in.weight") is None:
            reading.lent["value"] = value_TC
            return value_TC
        share_TC = sigmoid(_through(reading.arrays, "first", value_TD))
        mixed_TC: Array = value_TC + (reading.lent["value"] - value_TC) * share_TC
        return mixed_TC

    def _of_heads(self, x_TC: Array) -> Array:
        x_JTN: Array = x_TC.reshape(*x_TC.shape[:-1], self.heads, self.width).swapaxes(-2, -3)
        return x_JTN


def _through(arrays: ByName, part: str, x_TD: Array, bend: Callable[[Array], Array] | None = None) -> Array:
    """Through fewer numbers and back to all channels, [..., T, C]."""
    low_TR = mapped(arrays, f"state.{part}.in", x_TD)
    return mapped(arrays, f"state.{part}.out", low_TR if bend is None else bend(low_TR))
