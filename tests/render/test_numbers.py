"""Numbers as text: as many digits as are needed, in columns, with units."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llminspect.core.numbers import (
    added_up,
    byte_size,
    column,
    duration,
    fixed,
    largest_first,
    matrix,
    number,
    percent,
    rough_count,
    several,
    shape,
    signed,
    vector,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.74), "0.74"),
        (0.7400000095367432, "0.74"),
        (2.0, "2"),
        (7, "7"),
        (np.int64(49152), "49152"),
        (1 / 3, "0.3333"),
        (123456.789, "123457"),
        (1234567.0, "1.235e6"),
        (2e6, "2e6"),
        (0.00001234, "1.234e-5"),
        (-0.0, "0"),
        (math.nan, "nan"),
        (-math.inf, "-∞"),
    ],
)
def test_number(value: float, expected: str) -> None:
    assert number(value) == expected


@given(st.floats(-1e300, 1e300), st.integers(2, 8))
def test_number_is_as_near_as_its_digits_allow(value: float, digits: int) -> None:
    written = float(number(value, digits))
    assert written == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits), abs=1e-300)


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [(4.625, 2, "4.63"), (5.375, 2, "5.38"), (-4.625, 2, "-4.63"), (2.675, 2, "2.68"), (-0.001, 2, "0.00"),
     (7, 1, "7.0"), (np.float32(0.125), 2, "0.13"), (1e20, 0, "100000000000000000000"), (math.inf, 2, "inf")],
)  # fmt: skip
def test_a_half_goes_up_in_every_form(value: float, decimals: int, expected: str) -> None:
    assert fixed(value, decimals) == expected
    assert [number(4.625, 3), *column([4.625, 5.375], 3), percent(0.04625, 2)] == ["4.63", "4.63", "5.38", "4.63%"]


def test_column() -> None:
    assert column(np.array([0.74, 1.68, 2.62], np.float32)) == ["0.74", "1.68", "2.62"]
    assert column([2.0, 2.7]) == ["2.0", "2.7"]
    assert column([0.1, -0.25]) == [" 0.10", "-0.25"]
    assert column([1, 20]) == [" 1", "20"]
    assert column([10.123456, 0.5]) == ["10.12", " 0.50"]
    assert column([1.5, math.nan, -math.inf]) == ["1.5", "nan", " -∞"]
    assert column([-0.00001, 1.234]) == ["0.000", "1.234"]
    assert column([1.88e-4, 8.47e-6, -3e-4], 3) == [" 0.000188", " 0.000008", "-0.000300"]
    assert column([1.88e-5, 8.47e-6]) == ["1.88e-5", "8.47e-6"]
    assert column([]) == []


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=5))
def test_a_sum_that_is_shown_adds_up_in_what_is_shown(terms: list[float]) -> None:
    shown, sign, total = added_up(terms, sum(terms))
    assert (sum(map(Decimal, shown)) == Decimal(total)) == (sign == "=")
    assert [float(text) for text in shown] == pytest.approx(terms, abs=0.6 * 10.0 ** -len(total.partition(".")[2]))


def test_a_sum_takes_more_decimals_where_rounding_would_show() -> None:
    assert added_up([0.2504, 0.2504, 0.2504], 0.7512, 3) == (["0.2504", "0.2504", "0.2504"], "=", "0.7512")
    assert added_up([1 / 3] * 3, 1.0)[1] == "≈"
    assert added_up([2, 3], 5) == (["2.000", "3.000"], "=", "5.000")


def test_vector_and_matrix() -> None:
    assert vector(np.array([0.3, 0.4], np.float32)) == "[0.3, 0.4]"
    assert vector([0, 1, 0]) == "[0, 1, 0]"
    assert vector(np.linspace(0, 1, 576), limit=2) == "[0.000000, 0.001739, …]  576 numbers"
    assert vector([]) == "[]"
    assert matrix([[0.1, 0.2], [0.3, 0.4], [0.5, 10]]).splitlines() == [
        "[[ 0.1,  0.2]",
        " [ 0.3,  0.4]",
        " [ 0.5, 10.0]]",
    ]
    assert matrix(np.zeros((9, 9)), limit=2).splitlines() == ["[[0, 0, …]", " [0, 0, …]", " …]  9 × 9"]


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.259, "25.9%"), (0, "0.0%"), (1, "100.0%"), (1e-9, "<0.1%"), (1 - 1e-9, ">99.9%"), (math.nan, "nan")],
)
def test_percent(probability: float, expected: str) -> None:
    assert percent(probability) == expected


def test_units() -> None:
    assert [duration(x) for x in (85e-6, 0.0042, 0.34, 1.24, 59.4, 123, 7300)] == [
        "85 µs",
        "4.2 ms",
        "340 ms",
        "1.2 s",
        "59 s",
        "2 min 3 s",
        "2 h 1 min",
    ]
    assert [byte_size(x) for x in (0, 512, 1600, 98e6, 999_600, 5e13)] == [
        "0 B",
        "512 B",
        "1.6 kB",
        "98 MB",
        "1.0 MB",
        "50 TB",
    ]
    assert shape((5, 49152)) == "5 × 49,152"
    assert shape(()) == "a single number"


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 tokens"), (1, "1 token"), (2, "2 tokens"), (49152, "49,152 tokens")]
)
def test_one_thing_is_not_several(number: int, words: str) -> None:
    assert several(number, "token") == words
    assert several(number, "pass", "passes") == words.replace("token", "pass").replace("passs", "passes")


@pytest.mark.parametrize(
    ("value", "expected"), [(0.125, "+0.13"), (-0.125, "-0.13"), (0.004, "0.00"), (-0.004, "0.00"), (2.675, "+2.68")]
)
def test_a_change_has_its_sign_and_is_rounded_as_other_numbers(value: float, expected: str) -> None:
    assert signed(value, 2) == expected
    assert (duration(0.0025), duration(1.25), rough_count(2_125_000)) == ("2.5 ms", "1.3 s", "2.13 M")


def test_a_list_is_in_the_order_of_its_numbers_as_they_are_shown() -> None:
    for values in ([0.125, 0.13], [1.005, 1.01], [-0.13, -0.125], [0.13, 0.125]):
        assert len({fixed(value, 2) for value in values}) == 1
        assert largest_first(values, decimals=2) == [0, 1]
    assert largest_first([-math.inf, 1.0, math.nan, 2.0], decimals=2) == [3, 1, 0, 2]
