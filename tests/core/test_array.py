"""The product that everything is made of, beside the plain sum."""

from __future__ import annotations

import numpy as np
import pytest

from llminspect.core.array import FEW_ROWS, linear
from tests.closeness import assert_close


@pytest.mark.parametrize("tokens", [0, 1, 2, 5, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("outputs", [3, 64, 192, 201])
def test_a_few_tokens_and_many_give_the_same_product(tokens: int, outputs: int) -> None:
    random = np.random.default_rng(tokens)
    x_TI = random.standard_normal((tokens, 70), dtype=np.float32)
    weight_OI = random.standard_normal((outputs, 70), dtype=np.float32)
    bias_O = random.standard_normal(outputs, dtype=np.float32)
    expected = np.einsum("ti,oi->to", x_TI.astype(np.float64), weight_OI.astype(np.float64)) + bias_O
    got = linear(x_TI, weight_OI, bias_O)
    assert got.dtype == np.float32
    assert_close(got, expected, 1e-6)


def test_a_batch_a_vector_and_a_matrix_that_lies_otherwise() -> None:
    random = np.random.default_rng(0)
    x_BTI = random.standard_normal((2, 3, 70))
    weight_OI = random.standard_normal((201, 70))
    expected = np.einsum("bti,oi->bto", x_BTI, weight_OI)
    np.testing.assert_allclose(linear(x_BTI, weight_OI), expected, atol=1e-12)
    np.testing.assert_allclose(linear(x_BTI[0, 0], weight_OI), expected[0, 0], atol=1e-12)
    np.testing.assert_allclose(linear(x_BTI, np.asfortranarray(weight_OI)), expected, atol=1e-12)
    np.testing.assert_allclose(linear(x_BTI[:, ::2], weight_OI), expected[:, ::2], atol=1e-12)


def test_a_matrix_too_wide_for_small_pieces() -> None:
    random = np.random.default_rng(0)
    x_TI = random.standard_normal((4, 20_000))
    weight_OI = random.standard_normal((20, 20_000))
    np.testing.assert_allclose(linear(x_TI, weight_OI), np.einsum("ti,oi->to", x_TI, weight_OI), atol=1e-9)
