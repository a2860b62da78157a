"""One row of float32 x as whole numbers of three digits: how near they are, and products with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.backends.kernels.library import library
from llminspect.backends.kernels.matrices import BESIDE, DIGITS, UNIT, Blocks, Row
from llminspect.files.quant_types import COMPILED
from tests.backends.kernels.test_blocks import numpys, random_blocks
from tests.backends.kernels.test_rounded import ROUNDED

if TYPE_CHECKING:
    from llminspect.core.array import Array

NEAR = 0.5 / (127 * (255**2 + 255 + 1))
"""Of the largest number of a block, how far off a number of it may be."""


def by_digits(name: str, raw: Array, x_I: Array) -> Array:
    """The product [O] by whole numbers, wherever this processor would choose another way."""
    matrix = Blocks(COMPILED[name], raw, 1)
    y_NO: Array = np.empty((1, len(raw)), np.float32)
    matrix._digits = DIGITS
    assert Row([matrix]).multiplied(x_I[None], y_NO)
    return y_NO.reshape(-1)


def activations(seed: int, width: int) -> Array:
    """Some a thousand times the others, as models have them; a block of zeros, others very large and very small."""
    generator = np.random.default_rng(seed)
    x_I = generator.standard_t(3, size=width).astype(np.float32)
    x_I[generator.integers(0, width, 3)] *= np.float32(1000)
    x_I[256:512] = 0
    x_I[512:544] *= np.float32(2.0**90)
    x_I[576:608] *= np.float32(2.0**-80)
    x_I[640:644] = np.array([-1, 1, 1 - 2.0**-24, 0.5])
    return x_I


def assert_near(name: str, raw: Array, x_I: Array) -> None:
    weights_OI, length = numpys(name, raw).astype(np.float64), COMPILED[name].weights
    exact_O = weights_OI @ x_I.astype(np.float64)
    most_B = np.abs(x_I.reshape(-1, length)).max(-1).astype(np.float64)
    from_digits_O = np.abs(weights_OI).reshape(len(raw), -1, length).sum(-1) @ (NEAR * most_B)
    from_sums_O = 1e-6 * np.abs(weights_OI) @ np.abs(x_I.astype(np.float64))
    assert (np.abs(by_digits(name, raw, x_I) - exact_O) <= from_digits_O + from_sums_O).all(), name


@pytest.mark.parametrize("name", ["Q4_0", "Q4_K", "IQ4_XS"])
def test_no_number_is_farther_off_than_is_said(name: str) -> None:
    for seed in range(5):
        x_I = activations(seed, 1024)
        made = np.empty((1024 // UNIT, UNIT * DIGITS + BESIDE), np.uint8)
        assert library().write_pieces(DIGITS, COMPILED[name].number, x_I.ctypes.data, 1, 1024, made.ctypes.data)
        digits = made[:, : UNIT * DIGITS].view(np.int8).reshape(-1, DIGITS, UNIT).astype(np.float64)
        assert np.abs(digits).max() <= 127
        whole = digits[:, 0] + 255 * digits[:, 1] + 255**2 * digits[:, 2]
        beside = np.ascontiguousarray(made[:, UNIT * DIGITS :]).view(np.float32).astype(np.float64)
        if COMPILED[name].weights == 256:
            near = (whole.reshape(-1, 256) * beside[::4, :1]).reshape(-1, 2, 2, 16)
        else:
            near = (whole * np.tile(np.repeat(beside[:, :4:2], 16, axis=1), 2)).reshape(-1, 2, 2, 16)
        if name != "Q4_K":  # The first halves of two blocks come before the last.
            near = near.swapaxes(1, 2)
        blocks = x_I.reshape(-1, COMPILED[name].weights).astype(np.float64)
        apart = np.abs(near.reshape(blocks.shape) - blocks)
        # The scale is a float32.
        assert (apart <= NEAR * np.abs(blocks).max(-1, keepdims=True) + 2.0**-24 * np.abs(blocks)).all()


@pytest.mark.parametrize("name", ROUNDED)
def test_products_are_as_near_as_is_said(name: str) -> None:
    for seed in range(4):
        assert_near(name, random_blocks(name, 37, 1536 // COMPILED[name].weights, seed), activations(seed, 1536))


@pytest.mark.parametrize("name", ROUNDED)
def test_the_largest_digits_and_codes_do_not_overflow(name: str) -> None:
    """All codes of weights and digits of x at their ends: sums of products must fit 16 and 32 bits."""
    kind = COMPILED[name]
    scales = {at + more for at in kind.scales for more in (0, 1)} | ({0} if name == "MXFP4" else set())
    for byte in (0x00, 0x80, 0x7F, 0xFF):
        raw = random_blocks(name, 2, 6).copy()
        for at in set(range(kind.bytes)) - scales:
            raw.reshape(-1, kind.bytes)[:, at] = byte
        width = 6 * kind.weights
        for signs in (np.ones(width), np.where(np.arange(width) % 64 < 40, -1, 1)):
            assert_near(name, raw, signs.astype(np.float32))


@pytest.mark.parametrize("name", ROUNDED)
def test_what_has_no_such_digits_is_multiplied_as_float32(name: str) -> None:
    raw = random_blocks(name, 5, 4 * 256 // COMPILED[name].weights)
    weights_OI, x_NI = numpys(name, raw), np.ones((1, 1024), np.float32)
    for wrong in (np.nan, np.inf, -np.inf):
        x_NI[0, 700] = wrong
        with np.errstate(invalid="ignore"):
            alone = Blocks(COMPILED[name], raw, 1).products(x_NI)
        assert not np.isfinite(alone).any()
    x_NI[0] = 1e-31
    exact_NO = x_NI.astype(np.float64) @ weights_OI.astype(np.float64).T
    size = np.abs(weights_OI).sum(1) * 1e-31
    # A scale times such a number may be one without all its bits.
    assert (np.abs(Blocks(COMPILED[name], raw, 1).products(x_NI) - exact_NO) <= 1e-3 * size).all()


def test_one_row_is_multiplied_by_digits_where_that_is_faster() -> None:
    raw, x_I = random_blocks("Q4_K", 9, 4), activations(0, 1024)
    alone = Blocks(COMPILED["Q4_K"], raw, 1).products(x_I[None])[0]
    assert np.array_equal(alone, by_digits("Q4_K", raw, x_I)) == bool(library().by_digits())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("names", [("Q4_K", "Q4_K"), ("Q4_K", "Q4_K", "Q6_K"), ("Q4_0", "Q6_K", "Q4_0", "Q8_0")])
def test_several_matrices_at_once_give_what_each_gives(names: tuple[str, ...], threads: int) -> None:
    """Of different types and heights, so that a thread's rows go from one to the next; also where x has no digits."""
    matrices = [
        Blocks(COMPILED[name], random_blocks(name, 700 + 100 * at, 2048 // COMPILED[name].weights), threads)
        for at, name in enumerate(names)
    ]
    x_NI = activations(1, 2048)[None]
    for digits in (DIGITS, 1):
        for matrix in matrices:
            matrix._digits, matrix._row = digits, Row([matrix])
        matrices[0]._row_of_each = (), None
        found = matrices[0].products_of_each(matrices, x_NI)
        assert found is not None
        for matrix, y_NO in zip(matrices, found, strict=True):
            y_1O = np.empty_like(y_NO)
            assert Row([matrix]).multiplied(x_NI, y_1O) and np.array_equal(y_NO, y_1O) and y_NO.any()
    matrices[1]._digits = 0
    assert matrices[0].products_of_each([*matrices[:1], *matrices], x_NI) is None
    assert matrices[2 % len(matrices)].products_of_each(matrices[2 % len(matrices) :] * 3, x_NI[[0, 0]]) is None
