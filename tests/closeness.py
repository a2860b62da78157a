"""How close computed numbers have to be to recorded ones: by the size of their vectors, whatever computed them.

A sum of products in float32 is rounded by up to 6e-8 of its largest terms, in an order that each processor's matrix
product chooses for itself. So the error grows with the vector and an absolute bound is right for one size only: of a
logit of 26 it takes for a fault what is the last digit but one. Vectors are rows of the last axis.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.core.geometry import relative_difference

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SINGLE = 5e-5
"""A pass in float32: roundings of 6e-8, some hundred of them one on the other. Streams and logits come to 5e-6
(SmolLM2's to 1e-6), the worst row of attention weights to 1.4e-5, since the relative error of a weight is the absolute
one of its score and the golden models have large scores; PyTorch's own float32 comes to 1e-5."""
DOUBLE = 1e-11
"""A pass in float64, whose roundings are 1e-16; it comes to 1e-13. More is another formula, not another order."""


def assert_close(found: ArrayLike, expected: ArrayLike, bound: float = SINGLE, what: str = "") -> None:
    """Raise AssertionError where a vector is further off than that part of the expected one's length.

    An infinity is close to itself, as in masked scores, and NaN to nothing.
    """
    got, wanted = np.atleast_1d(np.asarray(found, float)), np.atleast_1d(np.asarray(expected, float))
    assert got.shape == wanted.shape, f"{what}: {got.shape} and not {wanted.shape}"
    infinite = np.isinf(wanted)
    np.testing.assert_array_equal(got[infinite], wanted[infinite], what)
    distance = relative_difference(np.where(infinite, 0, got), np.where(infinite, 0, wanted))
    assert distance <= bound, f"{what}: {distance:.2g} of the vector's length off, more than {bound:g}"


def same_document(one: Any, other: Any, bound: float) -> bool:
    """Whether two JSON documents are the same, their numbers to that part, or that much, of the other's."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_document(one[key], other[key], bound) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(partial(same_document, bound=bound), one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return bool(abs(one - other) <= bound * max(1.0, abs(other)))
    return bool(one == other)
