"""Vectors become logits, one for each token of the vocabulary, and logits become probabilities, and surprise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from llminspect.core.array import Array, linear, namespace, overwrite
from llminspect.core.dataclass import dataclass

NEAR = 8
"""Rows of a vocabulary's numbers that stay near the processor while they are worked on."""


@dataclass(frozen=True)
class Score:
    """A number that the logits at a position give: the logit of `target` − that of `versus`, or without it the
    log-probability of `target`, or its `logit`."""

    position: int
    target: int
    versus: int | None = None
    logit: bool = False

    def of(self, logits_V: Any) -> Any:
        """It, of logits [..., V]."""
        if self.versus is not None:
            return logits_V[..., self.target] - logits_V[..., self.versus]
        return (logits_V if self.logit else log_softmax(logits_V))[..., self.target]


logits = linear
"""hidden [..., T, D] · Uᵀ (+ bias [V]): how well each token of the vocabulary U [V, D] fits, [..., T, V]."""


def log_softmax(logits_TV: Array) -> Array:
    """Natural logarithms of the probabilities, [..., T, V]."""
    xp = namespace(logits_TV)
    shifted = logits_TV - xp.max(logits_TV, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def most_probable(logits_TV: Array) -> tuple[Array, Array]:
    """The most probable token of each row and its probability, both [T]: e^0 / Σ e^(x − max)."""
    best_T, chance_T = np.empty(len(logits_TV), int), np.empty(len(logits_TV), logits_TV.dtype)
    for start in range(0, len(logits_TV), NEAR):
        some_tV = logits_TV[start : start + NEAR]
        best_t = np.argmax(some_tV, axis=-1)
        top_t1 = np.take_along_axis(some_tV, best_t[:, None], axis=-1)
        best_T[start : start + NEAR] = best_t
        chance_T[start : start + NEAR] = 1 / np.sum(overwrite("exp", some_tV - top_t1), axis=-1)
    return best_T, chance_T


ROWS_AT_ONCE = 256
"""Positions that are multiplied with the vocabulary at once."""


def windows(length: int, size: int, overlap: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, first scored) of windows of `size` tokens, each sharing `overlap` with the one before.

    A token is scored in the first window that holds it and a token before it, so each is scored once, and but for those
    of the first window each sees at least `overlap` tokens.
    """
    start, scored = 0, 1
    while scored < length:
        stop = min(start + size, length)
        yield start, stop, scored
        start, scored = stop - overlap, stop


def log_probabilities(
    ids: Sequence[int],
    size: int,
    overlap: int,
    streams: Callable[[Sequence[int]], Array],
    logits: Callable[[Array], Array],
) -> Array:
    """ln p of each token given those before it in its window, [T] in float64; NaN for the first of the text.

    `streams` gives the last residual stream [W, D] of a window's ids, `logits` what a part of it says.
    """
    result_T = np.full(len(ids), np.nan)
    for start, stop, scored in windows(len(ids), size, overlap):
        stream_WD = streams(ids[start:stop])
        for first in range(scored, stop, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, stop)
            rows_TV = log_softmax(logits(stream_WD[first - 1 - start : last - 1 - start]).astype(np.float64))
            result_T[first:last] = rows_TV[np.arange(last - first), np.asarray(ids[first:last])]
    return result_T
