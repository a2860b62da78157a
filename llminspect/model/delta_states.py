"""The state of a gated DeltaNet: a token first takes out of it what it holds for the token's key, in part.

Yang, Kautz and Hatamizadeh 2024, "Gated Delta Networks: Improving Mamba2 with Delta Rule", section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from llminspect.core.activations import sigmoid, softplus
from llminspect.core.cache import StateCache
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import silu
from llminspect.core.norm import rms_norm
from llminspect.core.recurrence import Recurrence
from llminspect.model.selective_states import Grouped, scanned

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.states import Reading

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
