"""How far two of the same are apart: weights, distributions, patterns of attention."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.intervals import student


@dataclass(frozen=True)
class SquaredChange:
    """Sums over the numbers of an array, or of several, before and after: they add up part by part."""

    before: float = 0.0
    """Σ a²"""
    change: float = 0.0
    """Σ (b − a)²"""
    count: int = 0

    def __add__(self, other: SquaredChange) -> SquaredChange:
        """Both together.

        >>> SquaredChange(1.0, 4.0, 2) + SquaredChange(3.0, 0.0, 1)
        SquaredChange(before=4.0, change=4.0, count=3)
        """
        return SquaredChange(self.before + other.before, self.change + other.change, self.count + other.count)

    @property
    def relative(self) -> float:
        """‖b − a‖ / ‖a‖, Frobenius norms; no number where a is nought and b is not.

        >>> SquaredChange(4.0, 1.0, 2).relative
        0.5
        """
        if not self.change:
            return 0.0
        return math.sqrt(self.change / self.before) if self.before else math.nan


def squared_change(a: Array, b: Array) -> SquaredChange:
    """Of two arrays of one shape, summed in float64.

    >>> squared_change(np.array([3.0, 4.0]), np.array([3.0, 5.0])).relative
    0.2
    """
    before, after = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    moved = after - before
    return SquaredChange(float(before @ before), float(moved @ moved), before.size)


def divergences(logs_a_TV: Array, logs_b_TV: Array) -> tuple[Array, Array]:
    """KL(a ‖ b) and KL(b ‖ a) in bits of each row, [T] each, of two arrays of ln p (Kullback and Leibler 1951, "On
    Information and Sufficiency").

    >>> a, b = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    >>> [float(bits_T[0].round(4)) for bits_T in divergences(a, b)]
    [0.2075, 0.1887]
    """
    apart_TV = logs_a_TV - logs_b_TV
    ab_T = np.einsum("tv,tv->t", np.exp(logs_a_TV), apart_TV)
    ba_T = -np.einsum("tv,tv->t", np.exp(logs_b_TV), apart_TV)
    # Of equal ones rounding may leave a little less than nothing.
    return np.maximum(ab_T, 0) / math.log(2), np.maximum(ba_T, 0) / math.log(2)


def moved_weight(a_HTS: Array, b_HTS: Array) -> Array:
    """Which share of its attention each head gives elsewhere, [...]: ½ Σ |a − b| over what a query sees (the total
    variation), the mean over the queries from token 1 on. 0: the same patterns, 1: nothing in common.

    What a row lacks to a sum of 1 is with a sink that is no token, and counts as one. NaN for a single token.

    >>> a, b = np.array([[[1.0, 0.0], [0.5, 0.5]]]), np.array([[[1.0, 0.0], [0.75, 0.25]]])
    >>> moved_weight(a, b)
    array([0.25])
    """
    if a_HTS.shape[-2] < 2:
        return np.full(a_HTS.shape[:-2], np.nan)
    apart_HTS = a_HTS[..., 1:, :] - b_HTS[..., 1:, :]
    sums_HT = apart_HTS.sum(axis=-1, dtype=np.float64)
    moved_HT = np.abs(apart_HTS).sum(axis=-1, dtype=np.float64) + np.abs(sums_HT)
    share_H: Array = moved_HT.mean(axis=-1) / 2
    return share_H


def of_pieces(sums: Iterable[tuple[float, int]]) -> tuple[float, float, float]:
    """The mean over all places of some pieces of text, and the ends of its 95% interval from piece to piece.

    Places of one text are not independent of each other, pieces are nearly so. Each piece gives its sum and how many
    places it has; the mean is a ratio of two sums, whose variance is that of sum − mean · count (Cochran 1977,
    "Sampling Techniques", section 6.4). No numbers for the ends with a single piece.

    >>> [round(value, 3) for value in of_pieces([(2.0, 2), (6.0, 2), (4.0, 2)])]
    [2.0, -0.484, 4.484]
    """
    pieces = list(sums)
    places = sum(count for _, count in pieces)
    mean = math.fsum(total for total, _ in pieces) / places if places else math.nan
    if len(pieces) < 2:
        return mean, math.nan, math.nan
    squares = math.fsum((total - mean * count) ** 2 for total, count in pieces)
    margin = student(len(pieces) - 1) * math.sqrt(len(pieces) * squares / (len(pieces) - 1)) / places
    return mean, mean - margin, mean + margin
