"""Layers that keep a state: what earlier tokens leave is a matrix of fixed size, not a list of keys and values.

Both verbs are linear in the values: y[t] = Σ W[t, s] · v[s] over the tokens s up to t. These weights are as exact as
those of an attention, may be of either sign, and no row sums to anything. A state is zeros before the first token.
Letters: J heads of the state (or channels, each by itself), N numbers of a key, W numbers of a value, U tokens that a
convolution looks back on, C = J · W channels.

Dao and Gu 2024, "Transformers are SSMs", section 3; Katharopoulos et al. 2020, "Transformers are RNNs".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llminspect.core.array import Array, namespace
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class Recurrence:
    """What each token reads from the state, writes into it and lets it forget.

    Arrays may lack what is the same for all: an axis of length 1 stands for every head, or every number.
    """

    query_JTN: Array
    key_JTN: Array
    value_JTW: Array
    decay_JTN: Array
    """What is left of the state as each token comes, between 0 and 1."""
    rate_JT: Array | None = None
    """The delta rule (Schlag et al. 2021, "Linear Transformers Are Secretly Fast Weight Programmers"): a token writes
    this share of the difference between its value and what the state holds for its key already."""
    removal_JTN: Array | None = None
    """Peng et al. 2025, "RWKV-7", section 4.1: what the state before held under this key, of length one, …"""
    rates_JTN: Array | None = None
    """… is taken out of it under the same key, each number of that times its rate."""
    skip_J: Array | None = None
    """What of each token's value goes past the state."""

    @property
    def heads(self) -> int:
        arrays = self.query_JTN, self.key_JTN, self.value_JTW, self.decay_JTN
        return max(int(array.shape[-3]) for array in arrays)

    def part(self, heads: slice) -> Recurrence:
        """Some of the heads."""

        def some(array: Array, axis: int) -> Array:
            return array if array.shape[axis] == 1 else np.moveaxis(np.moveaxis(array, axis, 0)[heads], 0, axis)

        return Recurrence(
            some(self.query_JTN, -3),
            some(self.key_JTN, -3),
            some(self.value_JTW, -3),
            some(self.decay_JTN, -3),
            None if self.rate_JT is None else some(self.rate_JT, -2),
            None if self.removal_JTN is None else some(self.removal_JTN, -3),
            None if self.rates_JTN is None else some(self.rates_JTN, -3),
            None if self.skip_J is None else some(self.skip_J, -1),
        )


def scan(steps: Recurrence, state_JNW: Array | None = None) -> tuple[Array, Array]:
    """What each token reads, [..., J, T, W], and the state after the last of them, from that before the first.

    state = decay · state + key ⊗ value; read = query · state + skip · value. By the delta rule what is written is
    rate · (value − key · state) in place of the value. With a removal, state = decay · state + key ⊗ value
    − (rates · removal) ⊗ (removal · state).
    """
    query, key, value, decay = steps.query_JTN, steps.key_JTN, steps.value_JTW, steps.decay_JTN
    (*front, _, tokens, width), heads = value.shape, steps.heads
    numbers = max(query.shape[-1], key.shape[-1], decay.shape[-1])
    shape = (*front, heads, numbers, width)
    state = np.zeros(shape, value.dtype) if state_JNW is None else np.broadcast_to(state_JNW, shape)
    read = []
    for t in range(tokens):
        before, state = state, state * decay[..., t, :, None]
        if steps.removal_JTN is not None and steps.rates_JTN is not None:
            removal = steps.removal_JTN[..., t, :]
            taken = np.einsum("...n,...nw->...w", removal, before)
            state -= (steps.rates_JTN[..., t, :] * removal)[..., None] * taken[..., None, :]
        written = value[..., t, :]
        if steps.rate_JT is not None:
            held = np.einsum("...n,...nw->...w", key[..., t, :], state)
            written = steps.rate_JT[..., t, None] * (written - held)
        state += key[..., t, :, None] * written[..., None, :]
        read.append(np.einsum("...n,...nw->...w", query[..., t, :], state))
    mixed_JTW = np.stack(read, axis=-2)
    if steps.skip_J is not None:
        mixed_JTW += steps.skip_J[..., None, None] * value
    return mixed_JTW, state


def effective_weights(steps: Recurrence) -> Array:
    """How much of each token's value each token reads, [..., J, T, S], exactly.

    It is what the recurrence makes of values that tell the tokens apart: the unit vectors.
    """
    tokens = steps.value_JTW.shape[-2]
    unit_1TS = np.eye(tokens, dtype=steps.value_JTW.dtype)[None]
    front = steps.value_JTW.shape[:-3]
    return scan(replace(steps, value_JTW=np.broadcast_to(unit_1TS, (*front, *unit_1TS.shape))))[0]


def shifted(x_TC: Array, before_1C: Array | None) -> Array:
    """The vector of the token before each, [..., T, C]; that before the first is zeros, or `before_1C`."""
    if before_1C is None:
        before_1C = np.zeros_like(x_TC[..., :1, :])
    return np.concatenate([before_1C, x_TC[..., :-1, :]], axis=-2)


def convolve(x_TC: Array, kernel_CU: Array, bias_C: Array | None, before_UC: Array | None) -> tuple[Array, Array]:
    """Each channel's weighted sum of its last U inputs, [..., T, C], and the last U − 1 inputs, for the next tokens.

    The last number of the kernel is that of the token itself. `before_UC`: the U − 1 inputs before; None: zeros.
    """
    width, tokens = kernel_CU.shape[-1], x_TC.shape[-2]
    if before_UC is None:
        before_UC = np.zeros((*x_TC.shape[:-2], width - 1, x_TC.shape[-1]), x_TC.dtype)
    padded = np.concatenate([before_UC, x_TC], axis=-2)
    y_TC = np.zeros_like(x_TC)
    for u in range(width):
        y_TC += padded[..., u : u + tokens, :] * kernel_CU[:, u]
    return y_TC if bias_C is None else y_TC + bias_C, padded[..., tokens:, :]


def convolution_weights(query_JT: Array, key_JT: Array, kernel_JU: Array) -> Array:
    """The same of a convolution between gates, y[t] = query[t] · Σ kernel[t − s] · key[s] · v[s], [..., J, T, S]."""
    tokens, width = query_JT.shape[-1], kernel_JU.shape[-1]
    weights_JTS = np.zeros_like(query_JT, shape=(*query_JT.shape, tokens))
    for distance in range(min(width, tokens)):
        rows = np.arange(distance, tokens)
        kept_J1 = kernel_JU[:, width - 1 - distance, None]
        weights_JTS[..., rows, rows - distance] = query_JT[..., distance:] * kept_J1 * key_JT[..., : tokens - distance]
    return weights_JTS


def convolved(x_TI: Array, weight_OIC: Array, bias_O: Array) -> Array:
    """The sum over c of x[t + c − C // 2] W[:, :, c]ᵀ, and the bias, [..., T, O]; around the text stands nought. C, how
    many tokens each sees, is odd.

    >>> import numpy as np
    >>> convolved(np.array([[1.0], [2.0], [4.0]]), np.array([[[1.0, 0.0, 10.0]]]), np.zeros(1)).ravel()
    array([20., 41.,  2.])
    """
    xp, kernel, tokens = namespace(x_TI), weight_OIC.shape[-1], x_TI.shape[-2]
    edge = xp.zeros_like(x_TI[..., :1, :])
    edges = [xp.broadcast_to(edge, (*edge.shape[:-2], kernel // 2, edge.shape[-1]))] if kernel > 1 else []
    padded = xp.concat([*edges, x_TI, *edges], axis=-2)
    sum_TO: Array = bias_O
    for place in range(kernel):
        sum_TO = sum_TO + padded[..., place : place + tokens, :] @ weight_OIC[:, :, place].T
    return sum_TO
