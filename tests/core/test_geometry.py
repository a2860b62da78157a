"""Geometry against loops that anyone can follow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from llminspect.core import geometry
from llminspect.core.pooling import Pool, pooled
from llminspect.core.rotary import PairLayout, measured_rotation, rotate

if TYPE_CHECKING:
    from llminspect.core.array import Array

vectors = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(-3, 3, allow_subnormal=False)
)


def length(row: list[float]) -> float:
    return math.sqrt(sum(x * x for x in row))


def cosine(one: list[float], other: list[float]) -> float:
    if length(one) == 0 or length(other) == 0:
        return 0.0
    return sum(x * y for x, y in zip(one, other, strict=True)) / (length(one) * length(other))


@given(vectors)
def test_similarity_is_the_cosine_of_each_pair(rows: np.ndarray) -> None:
    slow = [[cosine(one, other) for other in rows.tolist()] for one in rows.tolist()]
    if min(length(row) for row in rows.tolist()) > 1e-100 or not rows.any():
        np.testing.assert_allclose(geometry.similarity(rows, rows), slow, atol=1e-12)


def test_vocabulary_products_read_the_whole_table_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_ROWS_AT_ONCE", 7)
    generator = np.random.default_rng(0)
    query_ND, table_VD = generator.normal(size=(3, 4)), generator.normal(size=(23, 4))
    table_VD[5] = 0
    dots_NV, cosines_NV = geometry.vocabulary_products(query_ND, table_VD)
    np.testing.assert_allclose(dots_NV, query_ND @ table_VD.T)
    slow = [[cosine(one, other) for other in table_VD.tolist()] for one in query_ND.tolist()]
    np.testing.assert_allclose(cosines_NV, slow, atol=1e-12)


def test_the_principal_plane_is_that_of_the_covariance_matrix() -> None:
    rows_ND = np.random.default_rng(1).normal(size=(40, 6)) * [5, 3, 1, 1, 0.5, 0.1]
    plane = geometry.principal_plane(rows_ND)
    centred = rows_ND - rows_ND.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    expected = np.abs(centred @ directions[:, [-1, -2]])
    np.testing.assert_allclose(np.abs(plane.points_N2), expected, atol=1e-10)
    np.testing.assert_allclose(plane.shares, values[[-1, -2]] / values.sum(), atol=1e-12)
    furthest = np.abs(plane.points_N2).argmax(axis=0)
    assert plane.points_N2[furthest[0], 0] > 0
    assert plane.points_N2[furthest[1], 1] > 0


def test_repeated_vectors_fall_on_one_point_and_an_axis_of_nothing_is_zero() -> None:
    one, other = np.array([[0.1, 0.2, 0.7], [0.3, 0.4, 0.1]], np.float32)
    plane = geometry.principal_plane(np.stack([one, other, one, one]))
    np.testing.assert_array_equal(plane.points_N2[:, 1], 0)
    np.testing.assert_allclose(plane.points_N2[[2, 3]], plane.points_N2[[0, 0]], atol=1e-12)
    assert plane.shares == (1.0, 0.0)


def test_two_vectors_lie_on_a_line_and_one_is_refused() -> None:
    plane = geometry.principal_plane(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(np.abs(plane.points_N2[:, 0]), [2.5, 2.5])
    np.testing.assert_allclose(plane.shares, [1, 0], atol=1e-12)
    with pytest.raises(ValueError, match="one point"):
        geometry.principal_plane(np.ones((1, 3)))


def test_equal_vectors_have_no_variance_to_share() -> None:
    plane = geometry.principal_plane(np.ones((4, 3)))
    np.testing.assert_allclose(plane.points_N2, 0, atol=1e-12)
    assert plane.shares == (0.0, 0.0)


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ((), [[1, 2], [3, 6]]),
        (("mean",), [[2, 4]]),
        (("first", "last"), [[1, 2, 3, 6]]),
        (("max",), [[3, 6]]),
        (("mean_sqrt",), [[4 / 2**0.5, 8 / 2**0.5]]),
        (("weighted_mean",), [[7 / 3, 14 / 3]]),
    ],
)
def test_pooling(modes: tuple[str, ...], expected: list[list[float]]) -> None:
    steps = [Pool(modes)] if modes else []
    np.testing.assert_allclose(pooled(np.array([[1.0, 2.0], [3.0, 6.0]]), steps), expected, rtol=1e-15)


def test_anisotropy_of_a_ball_is_none_and_of_a_cone_is_large() -> None:
    ball_VD = np.random.default_rng(2).normal(size=(500, 50))
    measured = geometry.anisotropy(ball_VD)
    assert measured is not None
    assert abs(measured.mean) < 0.02
    assert measured.deviation == pytest.approx(1 / math.sqrt(50), rel=0.1)
    cone = geometry.anisotropy(ball_VD + 5)
    assert cone is not None
    assert cone.mean > 0.9
    assert geometry.anisotropy(ball_VD[:99]) is None


def test_anisotropy_never_pairs_a_row_with_itself() -> None:
    table_VD = np.eye(100)
    measured = geometry.anisotropy(table_VD, pairs=5000)
    assert measured is not None
    assert (measured.mean, measured.deviation) == (0.0, 0.0)


def rotate_interleaved(x_HTE: Array, cos_TP: Array, sin_TP: Array) -> Array:
    """Turn the pairs (x_2i, x_2i+1): the layout of the paper. What lies beyond 2P of E is left as it is."""
    turned_HTE, pairs = x_HTE.copy(), 2 * cos_TP.shape[-1]
    even, odd = x_HTE[..., :pairs:2], x_HTE[..., 1:pairs:2]
    turned_HTE[..., :pairs:2] = even * cos_TP - odd * sin_TP
    turned_HTE[..., 1:pairs:2] = odd * cos_TP + even * sin_TP
    return turned_HTE


@pytest.mark.parametrize("layout", ["halves", "interleaved"])
@pytest.mark.parametrize("unturned", [0, 6])
def test_a_rotation_is_read_off_what_it_did(layout: PairLayout, unturned: int) -> None:
    before_HTE = np.random.default_rng(4).normal(size=(3, 40, 10 + unturned)).astype(np.float32)
    angles_TP = np.arange(40)[:, None] * 100.0 ** -(np.arange(5) / 5)
    cos_TP, sin_TP = np.cos(angles_TP), np.sin(angles_TP)
    after_HTE = rotate(before_HTE, (cos_TP, sin_TP), layout)
    if layout == "interleaved":
        np.testing.assert_allclose(after_HTE, rotate_interleaved(before_HTE, cos_TP, sin_TP), atol=1e-6)
    found = measured_rotation(before_HTE, after_HTE)
    assert found is not None
    assert found.layout == layout
    np.testing.assert_allclose(np.cos(found.angles_TP), cos_TP, atol=1e-5)
    np.testing.assert_allclose(np.sin(found.angles_TP), sin_TP, atol=1e-5)


def test_no_rotation_is_none() -> None:
    array = np.ones((2, 5, 4))
    assert measured_rotation(array, array.copy()) is None
