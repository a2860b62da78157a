"""Compiled products against this project's own dequantization, added up in float64, for each type of blocks."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.backends.kernels.matrices import FEW, MOST, WORTH_SHARING, Blocks
from llminspect.backends.kernels.rounded import RoundedBlocks
from llminspect.core.array import linear
from llminspect.files.quant_types import COMPILED
from llminspect.files.weights import dequantize
from tests.closeness import assert_close

if TYPE_CHECKING:
    from llminspect.core.array import Array


def random_blocks(name: str, rows: int, blocks: int, seed: int = 0) -> Array:
    """Random bytes with scales that are ordinary numbers; of a type without blocks such numbers, of an odd width."""
    kind, generator = COMPILED[name], np.random.default_rng(seed)
    if kind.weights == 1:
        numbers = generator.normal(0, 0.01, (rows, 37 * blocks)).astype("<f2" if name == "F16" else "<f4")
        raw = numbers.view(np.uint8).reshape(*numbers.shape, -1)[..., -kind.bytes :].reshape(rows, -1)
        raw.flags.writeable = False
        return raw
    raw = generator.integers(0, 256, (rows, blocks, kind.bytes), dtype=np.uint8)
    if name == "MXFP4":
        raw[..., 0] = generator.integers(118, 124, (rows, blocks))
    for at in kind.scales:
        raw[..., at : at + 2] = generator.normal(0, 0.01, (rows, blocks, 1)).astype("<f2").view(np.uint8)
    raw = raw.reshape(rows, -1)
    raw.flags.writeable = False
    return raw


def numpys(name: str, raw: Array) -> Array:
    return dequantize(name, raw).reshape(len(raw), -1)


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("rows", [1, 7, 64, 129])
def test_products_are_those_of_dequantized_weights(name: str, rows: int) -> None:
    raw = random_blocks(name, rows, 6 - rows % 2, seed=rows)
    matrix, weights_OI = Blocks(COMPILED[name], raw, 2), numpys(name, raw)
    for tokens in (*range(1, 10), 16, 17, 40):
        x_TI = np.random.default_rng(tokens).normal(size=(tokens, weights_OI.shape[1])).astype(np.float32)
        exact_TO = x_TI.astype(np.float64) @ weights_OI.astype(np.float64).T
        # Rounding of a sum is bounded by the sum of what is added, without signs.
        size_TO = np.abs(x_TI).astype(np.float64) @ np.abs(weights_OI).astype(np.float64).T
        got_TO = linear(x_TI, matrix)
        assert got_TO.dtype == np.float32
        assert (np.abs(got_TO - exact_TO) < 1e-6 * size_TO).all()


def test_several_threads_give_what_one_gives() -> None:
    rows = WORTH_SHARING // 64 + 1
    raw = random_blocks("Q4_1", rows, 2)
    for number in (FEW, FEW + 1):
        x_NI = np.random.default_rng(0).normal(size=(number, 64)).astype(np.float32)
        alone = Blocks(COMPILED["Q4_1"], raw, 1).products(x_NI)
        for threads in (2, 3):
            assert np.array_equal(Blocks(COMPILED["Q4_1"], raw, threads).products(x_NI), alone)


def test_threads_serve_several_callers_and_the_child_of_a_fork() -> None:
    """Who finds the threads at work multiplies alone; a child process has none of its parent's, and starts its own."""
    raw = random_blocks("Q4_0", WORTH_SHARING // 64 + 1, 2)
    matrix, x_NI = Blocks(COMPILED["Q4_0"], raw, 3), np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)
    expected_NO = matrix.products(x_NI)
    with ThreadPoolExecutor(4) as callers:
        for got_NO in callers.map(lambda _: matrix.products(x_NI), range(40)):
            assert np.array_equal(got_NO, expected_NO)
    if hasattr(os, "fork"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Of processes with several threads that fork.
            child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(matrix.products(x_NI), expected_NO) else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(matrix.products(x_NI), expected_NO)


def test_more_rows_than_are_multiplied_at_once() -> None:
    raw = random_blocks("Q6_K", 30, 3)
    x_NI = np.random.default_rng(0).normal(size=(MOST + 3, 768)).astype(np.float32)
    assert_close(Blocks(COMPILED["Q6_K"], raw, 2).products(x_NI), x_NI @ numpys("Q6_K", raw).T)


def test_rows_are_looked_up_like_an_arrays() -> None:
    raw = random_blocks("Q8_0", 50, 2)
    matrix, weights = Blocks(COMPILED["Q8_0"], raw, 2), numpys("Q8_0", raw)
    for index in (3, np.array([[4, 0], [49, 4]]), slice(7, 19), slice(40, None), (slice(None), slice(3, 9))):
        assert np.array_equal(matrix[index], weights[index])
    assert matrix.shape == weights.shape


@pytest.mark.parametrize("made_as", [Blocks, RoundedBlocks])
@pytest.mark.parametrize("name", ["Q4_0", "Q6_K", "F16"])
def test_rows_that_lie_in_another_order(name: str, made_as: type[Blocks]) -> None:
    raw, order_O = random_blocks(name, 37, 6), np.random.default_rng(3).permutation(37)
    kind = COMPILED[name]
    lying, moved = Blocks(kind, raw, 2, order_O), Blocks(kind, np.ascontiguousarray(raw[order_O]), 2)
    if made_as is RoundedBlocks and kind.weights > 1:
        lying, moved = (matrix.becoming(RoundedBlocks) for matrix in (lying, moved))  # type: ignore[assignment]
    assert np.array_equal(np.asarray(lying), np.asarray(moved))
    assert np.array_equal(lying[[3, 30]], moved[[3, 30]]) and np.array_equal(lying[4:9], moved[4:9])
    for tokens in (1, 3, 9, 40):
        x_TI = np.random.default_rng(tokens).normal(size=(tokens, lying.shape[1])).astype(np.float32)
        assert np.array_equal(lying.products(x_TI), moved.products(x_TI))
        assert np.array_equal(lying.products(x_TI.astype(np.float64)), moved.products(x_TI.astype(np.float64)))
    assert lying.products(x_TI).flags.c_contiguous
    one_1I, those, these = x_TI[:1], [moved, lying, moved], [moved] * 3
    assert all(
        np.array_equal(found, expected)
        for found, expected in zip(
            those[0].products_of_each(those, one_1I) or [linear(one_1I, matrix) for matrix in those],
            [linear(one_1I, matrix) for matrix in these],
            strict=True,
        )
    )


def test_x_of_another_kind() -> None:
    """float64, a view with gaps, one that cannot be written to: as with an array."""
    raw = random_blocks("Q4_0", 9, 2)
    matrix, weights = Blocks(COMPILED["Q4_0"], raw, 2), numpys("Q4_0", raw)
    wide = np.random.default_rng(0).normal(size=(2, 128))
    read_only = wide.astype(np.float32)[:, :64].copy()
    read_only.flags.writeable = False
    for x_TI in (wide[:, ::2], wide.astype(np.float32)[:, ::2], read_only):
        got = linear(x_TI, matrix)
        assert got.dtype == x_TI.dtype
        assert_close(got, x_TI @ weights.T)


@pytest.mark.parametrize("name", COMPILED)
def test_a_scale_that_is_no_number_is_found_wherever_it_stands(name: str) -> None:
    assert Blocks(COMPILED[name], random_blocks(name, 4, 3), 2).finite()
    kind = COMPILED[name]
    upper = [kind.bytes - 2] if kind.weights == 1 else []
    for at in (*kind.scales, *upper):
        for number in (b"\0\x7c", b"\1\xfc") if name not in {"F32", "BF16"} else (b"\x80\x7f", b"\xc1\xff"):
            raw = random_blocks(name, 4, 3).copy()
            raw[2, kind.bytes + at :][:2] = np.frombuffer(number, np.uint8)
            assert not Blocks(kind, raw, 2).finite()


def test_numbers_whose_sum_is_too_large_are_numbers() -> None:
    raw = np.full((2, 70), 3e38, np.float32).view(np.uint8)
    assert Blocks(COMPILED["F32"], raw, 1).finite()


def test_every_number_of_16_bits() -> None:
    """Each is multiplied with 1 alone: what comes out is the number itself, in one order and in the other."""
    for name in ("F16", "BF16"):
        raw = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2)
        for tokens in (1, 5):
            got_NO = Blocks(COMPILED[name], raw, 1).products(np.ones((tokens, 1), np.float32))
            assert np.array_equal(got_NO, np.tile(numpys(name, raw).T, (tokens, 1)), equal_nan=True)


def test_rows_that_lie_apart() -> None:
    raw = random_blocks("BF16", 20, 4)
    apart, x_NI = raw[3::4], np.random.default_rng(0).normal(size=(3, 148)).astype(np.float32)
    assert np.array_equal(
        Blocks(COMPILED["BF16"], apart, 1).products(x_NI), linear(x_NI, Blocks(COMPILED["BF16"], raw, 1))[:, 3::4]
    )
