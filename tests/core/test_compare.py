"""Differences of arrays by hand, and ids that cover the vocabulary."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llminspect.core.geometry import largest_difference, relative_difference, spread_ids


def test_differences_by_hand() -> None:
    reference_TD = np.array([[3.0, 4.0], [0.0, 0.0]])
    got_TD = np.array([[3.0, 4.5], [0.0, 0.2]])
    assert largest_difference(got_TD, reference_TD) == pytest.approx(0.5)
    # 0.5 of a vector of length 5 is 0.1; beside a vector of zeros the difference itself counts.
    assert relative_difference(got_TD[:1], reference_TD[:1]) == pytest.approx(0.1)
    assert relative_difference(got_TD, reference_TD) == pytest.approx(0.2)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_not_finite_is_no_small_difference(broken: float) -> None:
    reference_TD = np.ones((2, 2))
    got_TD = np.array([[1.0, broken], [1.0, 1.0]])
    for difference in (relative_difference, largest_difference):
        assert math.isnan(difference(got_TD, reference_TD))
        assert math.isnan(difference(got_TD, got_TD))


def test_a_float32_difference_is_taken_in_float64() -> None:
    small = np.float32(1 + 2**-23)
    assert largest_difference(np.array([small]), np.array([1.0])) == 2**-23


@pytest.mark.parametrize("vocabulary", [1, 3, 1000])
def test_spread_ids_stay_inside_and_reach_everywhere(vocabulary: int) -> None:
    ids = spread_ids(vocabulary, 32)
    assert len(ids) == 32
    assert all(0 <= token_id < vocabulary for token_id in ids)
    gaps = np.diff([0, *sorted(ids), vocabulary])
    assert max(gaps) <= 1 + 0.06 * vocabulary
