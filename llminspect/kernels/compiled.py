"""What numba compiles: blocks of quantized weights to float32, row by row, and the products with those rows.

A row of the matrix is decoded into a buffer that stays in the processor's first cache and is multiplied from there, so
that memory is read for the blocks alone. The weights are bit for bit those of `files/quants.py`, which says what the
layouts are; only the order in which a product is added up differs from numpy's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, register_model

if TYPE_CHECKING:
    from collections.abc import Callable

Q4_0, Q4_1, Q8_0, Q4_K, Q5_K, Q6_K = range(6)

# -- Vectors -----------------------------------------------------------------------------------------------------------
# 16 weights at once, said to LLVM as vectors, which it turns into what the processor has. Left to find them itself, in
# a loop over 16 numbers, it makes code for one number after another, a fifth as fast.

LANES = 16
INT8, INT32, FLOAT = ir.IntType(8), ir.IntType(32), ir.FloatType()


class Lanes(types.Type):  # type: ignore[misc]
    """16 float32 numbers in a register."""

    def __init__(self) -> None:
        super().__init__("Lanes")


lanes = Lanes()


@register_model(Lanes)  # type: ignore[misc]
class LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(FLOAT, LANES))


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


@intrinsic  # type: ignore[misc]
def store(typing: Any, numbers: Any, out: Any, to: Any) -> Any:
    """out[to:][:16] = numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, out, to = arguments
        builder.store(numbers, _pointer(context, builder, signature.args[1], out, to, FLOAT)).align = 4
        return context.get_dummy_value()

    return types.void(numbers, out, to), generate


@intrinsic  # type: ignore[misc]
def multiplied(typing: Any, total: Any, numbers: Any, x: Any, at: Any) -> Any:
    """total + numbers · x[at:][:16], rounded once where the processor does both at a time."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, numbers, x, at = arguments
        loaded = builder.load(_pointer(context, builder, signature.args[2], x, at, FLOAT))
        loaded.align = 4
        product = builder.fmul(numbers, loaded, flags=("contract",))
        return builder.fadd(product, total, flags=("contract",))

    return lanes(total, numbers, x, at), generate


@intrinsic  # type: ignore[misc]
def nothing_yet(typing: Any) -> Any:
    """16 zeros."""
    return lanes(), lambda context, builder, signature, arguments: ir.Constant(ir.VectorType(FLOAT, LANES), [0.0] * LANES)


@intrinsic  # type: ignore[misc]
def summed(typing: Any, numbers: Any) -> Any:
    """All 16 in one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (numbers,) = arguments
        for half_of_them in (8, 4, 2, 1):
            order = ir.Constant(ir.VectorType(INT32, half_of_them), list(range(half_of_them)))
            other = ir.Constant(ir.VectorType(INT32, half_of_them), list(range(half_of_them, 2 * half_of_them)))
            empty = ir.Constant(numbers.type, ir.Undefined)
            numbers = builder.fadd(
                builder.shuffle_vector(numbers, empty, order), builder.shuffle_vector(numbers, empty, other)
            )
        return builder.extract_element(numbers, ir.Constant(INT32, 0))

    return types.float32(numbers), generate


@intrinsic  # type: ignore[misc]
def codes(typing: Any, row: Any, at: Any, shift: Any, mask: Any, high: Any, high_shift: Any, high_mask: Any, less: Any,
          scale: Any, more: Any) -> Any:  # fmt: skip
    """code · scale + more, of 16 bytes from row[at] on and, for higher bits, 16 from row[high] on.

    A code is ((byte >> shift) & mask | ((high byte >> high_shift) & high_mask) << 4) − less.
    """
    signature = lanes(row, *[types.intp] * 7, types.float32, types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, at, shift, mask, high, high_shift, high_mask, less, scale, more = arguments

        def bits(at: Any, shift: Any, mask: Any) -> Any:
            loaded = _loaded(context, builder, signature.args[0], row, at)
            shift, mask = (_filled(builder, builder.trunc(number, INT8)) for number in (shift, mask))
            return builder.and_(builder.lshr(loaded, shift), mask)

        four = ir.Constant(ir.VectorType(INT8, LANES), [4] * LANES)
        code = builder.or_(bits(at, shift, mask), builder.shl(bits(high, high_shift, high_mask), four))
        code = builder.zext(code, ir.VectorType(INT32, LANES))
        code = builder.sub(code, _filled(builder, builder.trunc(less, INT32)))
        numbers = builder.fmul(builder.sitofp(code, ir.VectorType(FLOAT, LANES)), _filled(builder, scale))
        return builder.fadd(numbers, _filled(builder, more))

    return signature, generate


@intrinsic  # type: ignore[misc]
def signed_bytes(typing: Any, row: Any, at: Any, scale: Any) -> Any:
    """byte · scale, of 16 signed bytes from row[at] on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, at, scale = arguments
        numbers = builder.sitofp(_loaded(context, builder, signature.args[0], row, at), ir.VectorType(FLOAT, LANES))
        return builder.fmul(numbers, _filled(builder, scale))

    return lanes(row, types.intp, types.float32), generate


# -- Blocks ------------------------------------------------------------------------------------------------------------

NOTHING = np.float32(-0.0)
"""What changes no number it is added to; +0 would make a +0 of −0."""


HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
"""Every float16 number: looked up, as there is no type for them here."""


@njit  # type: ignore[misc]
def half(row, at):  # type: ignore[no-untyped-def]
    return HALVES[np.uint32(row[at]) | np.uint32(row[at + 1]) << np.uint32(8)]


# Each function below hands the weights of a row, 16 after 16, to `take(total, weights, x, at)`, whose answers for every
# other 16 become `even` and `odd`: two sums, because each waits for its last addition.


@njit  # type: ignore[misc]
def put(total, weights, x, at):  # type: ignore[no-untyped-def]
    store(weights, x, at)
    return total


@njit  # type: ignore[misc]
def q4_0(row, take, x):  # type: ignore[no-untyped-def]
    even, odd = nothing_yet(), nothing_yet()
    for block in range(len(row) // 18):
        at, to = 18 * block, 32 * block
        scale = half(row, at)
        even = take(even, codes(row, at + 2, 0, 15, at, 0, 0, 8, scale, NOTHING), x, to)
        odd = take(odd, codes(row, at + 2, 4, 15, at, 0, 0, 8, scale, NOTHING), x, to + 16)
    return summed(even) + summed(odd)


@njit  # type: ignore[misc]
def q4_1(row, take, x):  # type: ignore[no-untyped-def]
    even, odd = nothing_yet(), nothing_yet()
    for block in range(len(row) // 20):
        at, to = 20 * block, 32 * block
        scale, least = half(row, at), half(row, at + 2)
        even = take(even, codes(row, at + 4, 0, 15, at, 0, 0, 0, scale, least), x, to)
        odd = take(odd, codes(row, at + 4, 4, 15, at, 0, 0, 0, scale, least), x, to + 16)
    return summed(even) + summed(odd)


@njit  # type: ignore[misc]
def q8_0(row, take, x):  # type: ignore[no-untyped-def]
    even, odd = nothing_yet(), nothing_yet()
    for block in range(len(row) // 34):
        at, to = 34 * block, 32 * block
        scale = half(row, at)
        even = take(even, signed_bytes(row, at + 2, scale), x, to)
        odd = take(odd, signed_bytes(row, at + 18, scale), x, to + 16)
    return summed(even) + summed(odd)


@njit  # type: ignore[misc]
def scale_and_minimum(row, at, group):  # type: ignore[no-untyped-def]
    """The 6-bit numbers of a group of 32, out of 12 bytes from row[at] on."""
    if group < 4:
        return row[at + group] & 63, row[at + 4 + group] & 63
    last = row[at + 4 + group]
    return (last & 15) | ((row[at + group - 4] >> 2) & 48), (last >> 4) | ((row[at + group] >> 2) & 48)


@njit  # type: ignore[misc]
def q4_k_and_q5_k(row, take, x, size, high_mask):  # type: ignore[no-untyped-def]
    """The two differ in the fifth bit, which one has in 32 bytes in front of the others."""
    even, odd = nothing_yet(), nothing_yet()
    for block in range(len(row) // size):
        at = size * block
        scale, minimum = half(row, at), half(row, at + 2)
        low, high = at + size - 128, at + 16
        for group in range(8):
            small_scale, small_minimum = scale_and_minimum(row, at + 4, group)
            its_scale, less = scale * np.float32(small_scale), -(minimum * np.float32(small_minimum))
            start, shift, to = low + 32 * (group // 2), group % 2 * 4, 256 * block + 32 * group
            even = take(even, codes(row, start, shift, 15, high, group, high_mask, 0, its_scale, less), x, to)
            weights = codes(row, start + 16, shift, 15, high + 16, group, high_mask, 0, its_scale, less)
            odd = take(odd, weights, x, to + 16)
    return summed(even) + summed(odd)


@njit  # type: ignore[misc]
def q6_k(row, take, x):  # type: ignore[no-untyped-def]
    even, odd = nothing_yet(), nothing_yet()
    for block in range(len(row) // 210):
        at = 210 * block
        scale = half(row, at + 208)
        for group in range(8):  # Four of 32 weights in each half of the block, by the two bits of their high byte.
            side, number = group // 4, group % 4
            low, high = at + 64 * side + 32 * (number % 2), at + 128 + 32 * side
            shift, to = number // 2 * 4, 256 * block + 32 * group
            first = scale * np.float32(np.int8(row[at + 192 + 2 * group]))
            second = scale * np.float32(np.int8(row[at + 193 + 2 * group]))
            even = take(even, codes(row, low, shift, 15, high, 2 * number, 3, 32, first, NOTHING), x, to)
            weights = codes(row, low + 16, shift, 15, high + 16, 2 * number, 3, 32, second, NOTHING)
            odd = take(odd, weights, x, to + 16)
    return summed(even) + summed(odd)


@njit  # type: ignore[misc]
def take_row(kind, row, take, x):  # type: ignore[no-untyped-def]
    if kind == Q4_0:
        return q4_0(row, take, x)
    if kind == Q4_1:
        return q4_1(row, take, x)
    if kind == Q8_0:
        return q8_0(row, take, x)
    if kind == Q4_K:
        return q4_k_and_q5_k(row, take, x, 144, 0)
    if kind == Q5_K:
        return q4_k_and_q5_k(row, take, x, 176, 1)
    return q6_k(row, take, x)


# -- Matrices ----------------------------------------------------------------------------------------------------------


@njit  # type: ignore[misc]
def multiply(total, weights, x, at):  # type: ignore[no-untyped-def]
    return multiplied(total, weights, x, at)


@njit(fastmath={"reassoc", "contract", "nsz"})  # type: ignore[misc]
def dot(first, second):  # type: ignore[no-untyped-def]
    """Added up in any order, so in vectors."""
    total = np.float32(0)
    for index in range(len(first)):
        total += first[index] * second[index]
    return total


def _decoded(kind, blocks, out):  # type: ignore[no-untyped-def]
    for row in range(len(blocks)):
        take_row(kind, blocks[row], put, out[row])


def _products(kind, blocks, x, out, start):  # type: ignore[no-untyped-def]
    if len(x) == 1:
        for row in range(len(blocks)):
            out[0, start + row] = take_row(kind, blocks[row], multiply, x[0])
        return
    weights = np.empty(x.shape[1], np.float32)
    for row in range(len(blocks)):
        take_row(kind, blocks[row], put, weights)
        for index in range(len(x)):
            out[index, start + row] = dot(weights, x[index])


def _kept(function: Callable[..., None], signature: Any) -> Callable[..., None]:
    """Compiled for arguments of these types, or loaded where an earlier process compiled it."""
    try:
        return njit(signature, nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # There is no folder that it could write to.
        return njit(signature, nogil=True)(function)  # type: ignore[no-any-return]


# A call with arguments of exactly these types takes two microseconds; numba takes 60 to find out that others will do.
BYTES = types.Array(types.uint8, 2, "C", readonly=True)
FLOATS = types.float32[:, ::1]
decoded = _kept(_decoded, types.void(types.intp, BYTES, FLOATS))
"""`decoded(kind, blocks, out)`: bytes [O, bytes of a row] to float32 [O, I]."""
products = _kept(_products, types.void(types.intp, BYTES, FLOATS, FLOATS, types.intp))
"""`products(kind, blocks, x, out, start)`: x [N, I] times the same, to the columns of out [N, any] from `start` on."""
