"""The tests' measure of closeness, which all recorded numbers are held to."""

from __future__ import annotations

import numpy as np
import pytest

from tests.closeness import SINGLE, assert_close

VECTOR = [3e4, 4e4]  # Of length 5e4.


@pytest.mark.parametrize("off", [0.0, 0.9, -0.9])
def test_what_is_little_beside_its_vector_is_close(off: float) -> None:
    assert_close([3e4 + off * SINGLE * 5e4, 4e4], VECTOR)
    assert_close(3.0 + off * SINGLE * 3, 3.0)


@pytest.mark.parametrize("found", [[3e4, 4e4 + 1.1 * SINGLE * 5e4], [np.nan, 4e4], [np.inf, 4e4], [3e4], [VECTOR]])
def test_what_is_not_close_is_seen(found: object) -> None:
    with pytest.raises(AssertionError):
        assert_close(found, VECTOR)  # type: ignore[arg-type]


def test_infinities_are_close_to_themselves_and_nan_is_not() -> None:
    masked = [1.0, -np.inf]
    assert_close(masked, masked)
    for other in ([1.0, np.inf], [1.0, 0.0], [2.0, -np.inf]):
        with pytest.raises(AssertionError):
            assert_close(other, masked)
    with pytest.raises(AssertionError):
        assert_close([np.nan], [np.nan])
