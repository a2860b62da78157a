"""Where vectors lie: lengths, angles and differences, neighbours, averages, the plane that shows most of them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass

Metric = Literal["cosine", "dot"]

_ROWS_AT_ONCE = 16384
"""Rows of a vocabulary that are multiplied at once, so that a memory-mapped table is never held twice."""


def norms(vectors_ND: Array) -> Array:
    """The Euclidean length of each vector, [N]."""
    lengths: Array = np.sqrt(np.einsum("...d,...d->...", vectors_ND, vectors_ND))
    return lengths


def unit(vectors_ND: Array) -> Array:
    """Each vector with the length 1; a vector of zeros stays one."""
    lengths_N1 = norms(vectors_ND)[..., None]
    return vectors_ND / np.where(lengths_N1 == 0, 1, lengths_N1)


def similarity(vectors_ND: Array, others_MD: Array, metric: Metric = "cosine") -> Array:
    """How alike each vector is to each of the others, [N, M]: the dot product, or the cosine of the angle.

    The cosine with a vector of zeros is 0.
    """
    if metric == "dot":
        return vectors_ND @ others_MD.T
    cosines_NM: Array = np.clip(unit(vectors_ND) @ unit(others_MD).T, -1, 1)
    return cosines_NM


def vocabulary_products(vectors_ND: Array, table_VD: Array) -> tuple[Array, Array]:
    """Dot products with every row of a table, and cosines, both [N, V]; the table is read once, in pieces."""
    dots_NV = np.empty((len(vectors_ND), len(table_VD)), np.result_type(vectors_ND, table_VD))
    lengths_V = np.empty(len(table_VD), dots_NV.dtype)
    for start in range(0, len(table_VD), _ROWS_AT_ONCE):
        rows = np.asarray(table_VD[start : start + _ROWS_AT_ONCE])
        dots_NV[:, start : start + len(rows)] = vectors_ND @ rows.T
        lengths_V[start : start + len(rows)] = norms(rows)
    scale_NV = norms(vectors_ND)[:, None] * lengths_V
    cosines_NV = np.clip(dots_NV / np.where(scale_NV == 0, 1, scale_NV), -1, 1)
    return dots_NV, cosines_NV


@dataclass(frozen=True)
class Plane:
    """Points in the plane that shows most of the variance, and how much of it each axis shows."""

    points_N2: Array
    shares: tuple[float, float]


def principal_plane(vectors_ND: Array) -> Plane:
    """Principal component analysis by singular value decomposition of the centred vectors, to two dimensions.

    Each axis points to where its largest coordinate is positive, so that the picture is the same on every machine.
    Two vectors lie on a line: the second axis then shows nothing. Raises ValueError for a single vector.
    """
    if len(vectors_ND) < 2:
        raise ValueError("one point gives no plane")
    centred_ND = vectors_ND.astype(np.float64) - vectors_ND.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred_ND, full_matrices=False)
    # What rounding left of an axis along which nothing varies would be another picture on another machine.
    sizes = np.where(sizes > 1e-12 * sizes[0], sizes, 0)
    points_N2 = np.zeros((len(vectors_ND), 2))
    axes = min(2, len(sizes))
    points_N2[:, :axes] = left[:, :axes] * sizes[:axes]
    furthest = np.take_along_axis(points_N2, np.abs(points_N2).argmax(axis=0)[None], axis=0)
    points_N2 *= np.where(furthest < 0, -1, 1)
    total = float((sizes**2).sum())
    shares = [float(size**2) / total if total > 0 else 0.0 for size in sizes[:2]]
    return Plane(points_N2, (shares[0], shares[1] if axes == 2 else 0.0))


@dataclass(frozen=True)
class Anisotropy:
    """The cosines of random pairs of rows: what a cosine between two things that have nothing in common is.

    `mean` and `deviation` of the cosines of `pairs` pairs, and the cosine that one pair in a hundred exceeds.
    """

    pairs: int
    mean: float
    deviation: float
    one_in_100: float


def anisotropy(table_VD: Array, pairs: int = 2000) -> Anisotropy | None:
    """How much all vectors of a table point the same way (Ethayarajh 2019, section 4.1: mean cosine of random pairs).

    None for a table of fewer than 100 rows, where random pairs say nothing.
    """
    if len(table_VD) < 100:
        return None
    generator = np.random.default_rng(0)
    first = generator.integers(0, len(table_VD), pairs)
    # Never a row with itself.
    second = (first + generator.integers(1, len(table_VD), pairs)) % len(table_VD)
    one, other = unit(np.take(table_VD, first, axis=0)), unit(np.take(table_VD, second, axis=0))
    cosines = np.einsum("nd,nd->n", one, other)
    return Anisotropy(pairs, float(cosines.mean()), float(cosines.std()), float(np.quantile(cosines, 0.99)))


# -- How far two passes are apart --------------------------------------------------------------------------------------


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
