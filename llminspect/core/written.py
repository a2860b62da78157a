"""Calculations as they are printed: with as many digits as the printed numbers need to give the printed result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.numbers import column, fixed, number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MOST = 12
"""Digits of a number in a calculation at most."""


def digits_for(made: Callable[[int], ArrayLike], shown: Sequence[str], least: int) -> int | None:
    """The fewest digits, from `least` on, with which `made`, the result of numbers that are written with so many, reads
    as it is `shown`; None where there are none, as where the model itself rounds more.

    >>> digits_for(lambda digits: np.divide(*read_all([7.389056, 12.10734], digits)), ["0.6103"], 4)
    5
    """
    for digits in range(least, MOST + 1):
        with np.errstate(all="ignore"):
            results = np.ravel(np.asarray(made(digits), dtype=np.float64))
        if len(results) == len(shown) and all(map(_reads_as, results, shown)):
            return digits
    return None


def read(value: float, digits: int) -> float:
    """What a reader takes for the number."""
    return _parsed(number(value, digits))


def read_all(values: ArrayLike, digits: int) -> NDArray[np.float64]:
    """The same for numbers that stand in a vector."""
    return np.array([_parsed(text) for text in column(np.ravel(np.asarray(values)), digits)])


def _reads_as(value: float, shown: str) -> bool:
    """Whether a number, rounded to the decimals of a text, is that text."""
    text = shown.strip()
    if "e" in text:
        mantissa = text.partition("e")[0].replace(".", "").lstrip("-")
        return number(value, max(len(mantissa), 2)) == text
    return fixed(value, len(text.partition(".")[2])) == text


def _parsed(text: str) -> float:
    return float(text.replace("∞", "inf"))
