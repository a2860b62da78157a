"""What numba compiles: blocks of quantized weights to float32, row by row, and the products with those rows.

A row of the matrix is decoded into a buffer that stays in the processor's first cache and is multiplied from there, so
that memory is read for the blocks alone. The weights are bit for bit those of `files/quants.py`, which says what the
layouts are; only the order in which a product is added up differs from numpy's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

Q4_0, Q4_1, Q8_0, Q4_K, Q5_K, Q6_K = range(6)

# Sets of threads differ in what they allow; this one comes with numba itself, so it is the same everywhere.
numba.config.THREADING_LAYER = "workqueue"

# -- Vectors -----------------------------------------------------------------------------------------------------------
# 16 weights at once, said to LLVM as vectors, which it turns into what the processor has. Left to find them itself, in
# a loop over 16 numbers, it makes code for one number after another, a fifth as fast.

LANES = 16
INT8, INT32, FLOAT = ir.IntType(8), ir.IntType(32), ir.FloatType()


def _filled(builder: Any, number: Any) -> Any:
    """A vector of one number 16 times."""
    empty = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, number: Any) -> Any:
    """Where 16 numbers from a place of an array on lie."""
    start = builder.gep(context.make_array(kind)(context, builder, array).data, [at])
    return builder.bitcast(start, ir.VectorType(number, LANES).as_pointer())


def _loaded(context: Any, builder: Any, kind: Any, row: Any, at: Any) -> Any:
    loaded = builder.load(_pointer(context, builder, kind, row, at, INT8))
    loaded.align = 1
    return loaded


def _store(context: Any, builder: Any, kind: Any, out: Any, to: Any, numbers: Any) -> None:
    builder.store(numbers, _pointer(context, builder, kind, out, to, FLOAT)).align = 4


@intrinsic  # type: ignore[misc]
def codes(typing: Any, row: Any, at: Any, shift: Any, mask: Any, high: Any, high_shift: Any, high_mask: Any, less: Any,
          scale: Any, more: Any, out: Any, to: Any) -> Any:  # fmt: skip
    """out[to:][:16] = code · scale + more, of 16 bytes from row[at] on and, for higher bits, 16 from row[high] on.

    A code is ((byte >> shift) & mask | ((high byte >> high_shift) & high_mask) << 4) − less.
    """
    signature = types.void(row, *[types.intp] * 7, types.float32, types.float32, out, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, at, shift, mask, high, high_shift, high_mask, less, scale, more, out, to = arguments

        def bits(at: Any, shift: Any, mask: Any) -> Any:
            loaded = _loaded(context, builder, signature.args[0], row, at)
            shift, mask = (_filled(builder, builder.trunc(number, INT8)) for number in (shift, mask))
            return builder.and_(builder.lshr(loaded, shift), mask)

        four = ir.Constant(ir.VectorType(INT8, LANES), [4] * LANES)
        code = builder.or_(bits(at, shift, mask), builder.shl(bits(high, high_shift, high_mask), four))
        code = builder.zext(code, ir.VectorType(INT32, LANES))
        code = builder.sub(code, _filled(builder, builder.trunc(less, INT32)))
        numbers = builder.fmul(builder.sitofp(code, ir.VectorType(FLOAT, LANES)), _filled(builder, scale))
        _store(context, builder, signature.args[10], out, to, builder.fadd(numbers, _filled(builder, more)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[misc]
def signed_bytes(typing: Any, row: Any, at: Any, scale: Any, out: Any, to: Any) -> Any:
    """out[to:][:16] = byte · scale, of 16 signed bytes from row[at] on."""
    signature = types.void(row, types.intp, types.float32, out, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, at, scale, out, to = arguments
        loaded = _loaded(context, builder, signature.args[0], row, at)
        numbers = builder.sitofp(loaded, ir.VectorType(FLOAT, LANES))
        _store(context, builder, signature.args[3], out, to, builder.fmul(numbers, _filled(builder, scale)))
        return context.get_dummy_value()

    return signature, generate


# -- Blocks ------------------------------------------------------------------------------------------------------------

NOTHING = np.float32(-0.0)
"""What changes no number it is added to; +0 would make a +0 of −0."""


@njit  # type: ignore[misc]
def half(row, at):  # type: ignore[no-untyped-def]
    """The float16 number at a place of a row, finite or not, as float32."""
    bits = np.uint32(row[at]) | np.uint32(row[at + 1]) << np.uint32(8)
    widened = np.uint32((bits & np.uint32(0x7FFF)) << np.uint32(13) | (bits & np.uint32(0x8000)) << np.uint32(16))
    number = np.float32(widened.view(np.float32) * np.float32(2.0**112))  # Between the biases of the exponents.
    if abs(number) < np.float32(65536):
        return number
    return np.uint32(widened | np.uint32(0x7F800000)).view(np.float32)  # Infinity or NaN.


@njit  # type: ignore[misc]
def q4_0(row, out):  # type: ignore[no-untyped-def]
    for block in range(len(row) // 18):
        at, to = 18 * block, 32 * block
        scale = half(row, at)
        codes(row, at + 2, 0, 15, at, 0, 0, 8, scale, NOTHING, out, to)
        codes(row, at + 2, 4, 15, at, 0, 0, 8, scale, NOTHING, out, to + 16)


@njit  # type: ignore[misc]
def q4_1(row, out):  # type: ignore[no-untyped-def]
    for block in range(len(row) // 20):
        at, to = 20 * block, 32 * block
        scale, least = half(row, at), half(row, at + 2)
        codes(row, at + 4, 0, 15, at, 0, 0, 0, scale, least, out, to)
        codes(row, at + 4, 4, 15, at, 0, 0, 0, scale, least, out, to + 16)


@njit  # type: ignore[misc]
def q8_0(row, out):  # type: ignore[no-untyped-def]
    for block in range(len(row) // 34):
        at, to = 34 * block, 32 * block
        scale = half(row, at)
        signed_bytes(row, at + 2, scale, out, to)
        signed_bytes(row, at + 18, scale, out, to + 16)


@njit  # type: ignore[misc]
def scale_and_minimum(row, at, group):  # type: ignore[no-untyped-def]
    """The 6-bit numbers of a group of 32, out of 12 bytes from row[at] on."""
    if group < 4:
        return row[at + group] & 63, row[at + 4 + group] & 63
    last = row[at + 4 + group]
    return (last & 15) | ((row[at + group - 4] >> 2) & 48), (last >> 4) | ((row[at + group] >> 2) & 48)


@njit  # type: ignore[misc]
def q4_k_and_q5_k(row, out, size, high_mask):  # type: ignore[no-untyped-def]
    """The two differ in the fifth bit, which one has in 32 bytes in front of the others."""
    for block in range(len(row) // size):
        at = size * block
        scale, minimum = half(row, at), half(row, at + 2)
        low, high = at + size - 128, at + 16
        for group in range(8):
            small_scale, small_minimum = scale_and_minimum(row, at + 4, group)
            group_scale = scale * np.float32(small_scale)
            less = -(minimum * np.float32(small_minimum))
            start, to = low + 32 * (group // 2), 256 * block + 32 * group
            for part in range(0, 32, 16):
                codes(row, start + part, group % 2 * 4, 15, high + part, group, high_mask, 0, group_scale, less, out,
                      to + part)  # fmt: skip


@njit  # type: ignore[misc]
def q6_k(row, out):  # type: ignore[no-untyped-def]
    for block in range(len(row) // 210):
        at = 210 * block
        scale = half(row, at + 208)
        for group in range(8):  # Four of 32 weights in each half of the block, by the two bits of their high byte.
            side, number = group // 4, group % 4
            low, high = at + 64 * side + 32 * (number % 2), at + 128 + 32 * side
            for part in range(2):
                small = np.float32(np.int8(row[at + 192 + 2 * group + part]))
                codes(row, low + 16 * part, number // 2 * 4, 15, high + 16 * part, 2 * number, 3, 32, scale * small,
                      NOTHING, out, 256 * block + 32 * group + 16 * part)  # fmt: skip


@njit  # type: ignore[misc]
def decode(kind, row, out):  # type: ignore[no-untyped-def]
    if kind == Q4_0:
        q4_0(row, out)
    elif kind == Q4_1:
        q4_1(row, out)
    elif kind == Q8_0:
        q8_0(row, out)
    elif kind == Q4_K:
        q4_k_and_q5_k(row, out, 144, 0)
    elif kind == Q5_K:
        q4_k_and_q5_k(row, out, 176, 1)
    else:
        q6_k(row, out)


# -- Matrices ----------------------------------------------------------------------------------------------------------


@njit(fastmath={"reassoc", "contract", "nsz"})  # type: ignore[misc]
def dot(first, second):  # type: ignore[no-untyped-def]
    """Added up in any order, so in vectors."""
    total = np.float32(0)
    for index in range(len(first)):
        total += first[index] * second[index]
    return total


def _decoded(kind, blocks, out, parts):  # type: ignore[no-untyped-def]
    rows = len(blocks)
    for part in prange(parts):
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            decode(kind, blocks[row], out[row])


def _products(kind, blocks, x, out, parts):  # type: ignore[no-untyped-def]
    rows = len(blocks)
    for part in prange(parts):
        weights = np.empty(x.shape[1], np.float32)
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            decode(kind, blocks[row], weights)
            for index in range(len(x)):
                out[index, row] = dot(weights, x[index])


def _kept(function: Callable[..., None], signature: Any) -> Callable[..., None]:
    """Compiled for arguments of these types, or loaded where an earlier process compiled it."""
    try:
        return njit(signature, parallel=True, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # There is no folder that it could write to.
        return njit(signature, parallel=True)(function)  # type: ignore[no-any-return]


BYTES = types.Array(types.uint8, 2, "C", readonly=True)
FLOATS = types.Array(types.float32, 2, "C", readonly=True)
decoded = _kept(_decoded, types.void(types.intp, BYTES, types.float32[:, ::1], types.intp))
"""`decoded(kind, blocks, out, parts)`: bytes [O, bytes of a row] to float32 [O, I], by that many threads."""
products = _kept(_products, types.void(types.intp, BYTES, FLOATS, types.float32[:, ::1], types.intp))
"""`products(kind, blocks, x, out, parts)`: the same blocks times x [N, I] to out [N, O]."""
