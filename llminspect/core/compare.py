"""How far two passes of a model are apart: the ids that exercise it, and the difference of two arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from llminspect.core.array import Array

GOLDEN_RATIO = (5**0.5 - 1) / 2


def spread_ids(vocabulary: int, count: int) -> list[int]:
    """`count` ids that cover 0 … vocabulary - 1 evenly however many are taken: the multiples of the golden ratio.

    Knuth, The Art of Computer Programming, volume 3, section 6.4, theorem S.
    """
    return [int(vocabulary * (index * GOLDEN_RATIO % 1)) for index in range(1, count + 1)]


def largest_difference(got: Array, reference: Array) -> float:
    """The largest |got - reference|; NaN where one of them is not finite."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(np.asarray(got, np.float64) - np.asarray(reference, np.float64))
    return float(difference.max(initial=0.0)) if np.isfinite(difference).all() else float("nan")


def relative_difference(got_TD: Array, reference_TD: Array) -> float:
    """The largest over tokens of ‖got - reference‖ / ‖reference‖; NaN where a value is not finite.

    By norms and not by numbers, so that a number near 0 beside large ones does not count as if it were the vector. A
    reference of zeros gives the norm of the difference itself.
    """
    got, reference = np.asarray(got_TD, np.float64), np.asarray(reference_TD, np.float64)
    if not (np.isfinite(got).all() and np.isfinite(reference).all()):
        return float("nan")
    lengths_T = np.linalg.norm(reference, axis=-1)
    distances_T = np.linalg.norm(got - reference, axis=-1)
    return float((distances_T / np.where(lengths_T == 0, 1, lengths_T)).max(initial=0.0))
