"""Activations against their formulas, number by number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.feedforward import ACTIVATIONS, xielu
from tests.closeness import assert_close

if TYPE_CHECKING:
    from collections.abc import Callable

X = [-30.0, -4.0, -1.5, -0.3, -1e-8, 0.0, 1e-3, 0.5, 2.0, 25.0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


FORMULAS: dict[str, Callable[[float], float]] = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: max(x, 0),
    "relu_squared": lambda x: max(x, 0) ** 2,
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "tanh": math.tanh,
    "gelu_10": lambda x: max(-10, min(10, FORMULAS["gelu"](x))),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "relu6": lambda x: max(0, min(6, x)),
    "hardswish": lambda x: x * max(0, min(6, x + 3)) / 6,
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "laplace": lambda x: 0.5 * (1 + math.erf((x - 0.707107) / (0.282095 * math.sqrt(2)))),
    "sigmoid": sigmoid,
    "sqrt_softplus": lambda x: math.sqrt(math.log1p(math.exp(x))),
    "linear": lambda x: x,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_formula(name: str) -> None:
    assert_close(ACTIVATIONS[name](np.array(X)), np.array([FORMULAS[name](x) for x in X]), 1e-10)


def test_the_learned_one_is_its_formula() -> None:
    stored = {"rising": 0.4, "falling": -0.7, "slope": 0.5, "limit": -1e-6}
    rising, falling = (math.log(1 + math.exp(stored[name])) for name in ("rising", "falling"))

    def formula(x: float) -> float:
        if x > 0:
            return rising * x * x + 0.5 * x
        return (0.5 + falling) * (math.exp(min(x, -1e-6)) - 1 - x) + 0.5 * x

    arrays = {f"curve.{name}": np.array([value]) for name, value in stored.items()}
    assert_close(xielu(np.array(X), arrays, "curve"), np.array([formula(x) for x in X]), 1e-10)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "quick_gelu"])
def test_far_below_nought_no_digit_is_lost(name: str) -> None:
    x = np.linspace(-45, 20, 400).astype(np.float32)
    expected = np.array([FORMULAS[name](float(value)) for value in x])
    np.testing.assert_allclose(ACTIVATIONS[name](x.copy()), expected, rtol=1e-5)
    with np.errstate(all="raise", under="ignore"):
        assert ACTIVATIONS[name](np.array([-1e4], np.float32)).tolist() == [0.0]
