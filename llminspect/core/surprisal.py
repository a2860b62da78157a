"""How surprising each token of a text is, given those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.unembed import log_softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llminspect.core.array import Array

ROWS = 256
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
        for first in range(scored, stop, ROWS):
            last = min(first + ROWS, stop)
            rows_TV = log_softmax(logits(stream_WD[first - 1 - start : last - 1 - start]).astype(np.float64))
            result_T[first:last] = rows_TV[np.arange(last - first), np.asarray(ids[first:last])]
    return result_T
