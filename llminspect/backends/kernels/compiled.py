"""What numba compiles: blocks of quantized weights to float32, and the products with them.

For a product the weights are only ever in registers, so that memory is read for the blocks alone. They are bit for bit
those of `files/quant_types.py`, which says what the layouts are; only the order in which a product is added up differs
from numpy's. Everything is compiled into one function (`forceinline`): an array that is handed on is counted each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, register_model

from llminspect.files.quant_types import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

Q4_0, Q4_1, Q8_0 = (BY_NAME[name].number for name in ("Q4_0", "Q4_1", "Q8_0"))
Q4_K, Q5_K, Q6_K = (BY_NAME[name].number for name in ("Q4_K", "Q5_K", "Q6_K"))

# -- Vectors -----------------------------------------------------------------------------------------------------------
# 16 weights at once, said to LLVM as vectors, which it turns into what the processor has. Left to find them itself, in
# a loop over 16 numbers, it makes code for one number after another, a fifth as fast.

LANES = 16
INT8, INT32, FLOAT = ir.IntType(8), ir.IntType(32), ir.FloatType()


class Lanes(types.Type):
    """16 float32 numbers in a register."""

    def __init__(self) -> None:
        super().__init__("Lanes")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
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


@intrinsic
def store(typing: Any, numbers: Any, out: Any, to: Any) -> Any:
    """out[to:][:16] = numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, out, to = arguments
        builder.store(numbers, _pointer(context, builder, signature.args[1], out, to, FLOAT)).align = 4
        return context.get_dummy_value()

    return types.void(numbers, out, to), generate


@intrinsic
def multiplied(typing: Any, total: Any, numbers: Any, x: Any, at: Any) -> Any:
    """total + numbers · x[at:][:16], rounded once where the processor does both at a time."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, numbers, x, at = arguments
        loaded = builder.load(_pointer(context, builder, signature.args[2], x, at, FLOAT))
        loaded.align = 4
        product = builder.fmul(numbers, loaded, flags=("contract",))
        return builder.fadd(product, total, flags=("contract",))

    return lanes(total, numbers, x, at), generate


@intrinsic
def nothing_yet(typing: Any) -> Any:
    """16 zeros."""
    return lanes(), lambda context, builder, signature, arguments: ir.Constant(
        ir.VectorType(FLOAT, LANES), [0.0] * LANES
    )


@intrinsic
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


@intrinsic
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


@intrinsic
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


@njit(forceinline=True)
def half(halves, row, at):
    return halves[np.uint32(row[at]) | np.uint32(row[at + 1]) << np.uint32(8)]


# Each function below hands the weights of a row, 16 after 16, to `take(total, weights, x, at)`, whose answers for every
# other 16 become `even` and `odd`: two sums, because each waits for its last addition.


@njit(forceinline=True)
def put(total, weights, x, at):
    store(weights, x, at)
    return total


@njit(forceinline=True)
def q4_0_and_q4_1(halves, row, first, end, take, x, begin, size, less):
    """The second adds a least number, which it has after the scale; the first takes 8 from each code."""
    even, odd = nothing_yet(), nothing_yet()
    for block in range((end - first) // size):
        at, to = first + size * block, begin + 32 * block
        scale, low = half(halves, row, at), at + size - 16
        least = NOTHING if less else half(halves, row, at + 2)
        even = take(even, codes(row, low, 0, 15, at, 0, 0, less, scale, least), x, to)
        odd = take(odd, codes(row, low, 4, 15, at, 0, 0, less, scale, least), x, to + 16)
    return summed(even) + summed(odd)


@njit(forceinline=True)
def q8_0(halves, row, first, end, take, x, begin):
    even, odd = nothing_yet(), nothing_yet()
    for block in range((end - first) // 34):
        at, to = first + 34 * block, begin + 32 * block
        scale = half(halves, row, at)
        even = take(even, signed_bytes(row, at + 2, scale), x, to)
        odd = take(odd, signed_bytes(row, at + 18, scale), x, to + 16)
    return summed(even) + summed(odd)


@njit(forceinline=True)
def scale_and_minimum(row, at, group):
    """The 6-bit numbers of a group of 32, out of 12 bytes from row[at] on."""
    if group < 4:
        return row[at + group] & 63, row[at + 4 + group] & 63
    last = row[at + 4 + group]
    return (last & 15) | ((row[at + group - 4] >> 2) & 48), (last >> 4) | ((row[at + group] >> 2) & 48)


@njit(forceinline=True)
def q4_k_and_q5_k(halves, row, first, end, take, x, begin, size, high_mask):
    """The two differ in the fifth bit, which one has in 32 bytes in front of the others."""
    even, odd = nothing_yet(), nothing_yet()
    for block in range((end - first) // size):
        at = first + size * block
        scale, minimum = half(halves, row, at), half(halves, row, at + 2)
        low, high = at + size - 128, at + 16
        for group in range(8):
            small_scale, small_minimum = scale_and_minimum(row, at + 4, group)
            its_scale, less = scale * np.float32(small_scale), -(minimum * np.float32(small_minimum))
            start, shift, to = low + 32 * (group // 2), group % 2 * 4, begin + 256 * block + 32 * group
            even = take(even, codes(row, start, shift, 15, high, group, high_mask, 0, its_scale, less), x, to)
            weights = codes(row, start + 16, shift, 15, high + 16, group, high_mask, 0, its_scale, less)
            odd = take(odd, weights, x, to + 16)
    return summed(even) + summed(odd)


@njit(forceinline=True)
def q6_k(halves, row, first, end, take, x, begin):
    even, odd = nothing_yet(), nothing_yet()
    for block in range((end - first) // 210):
        at = first + 210 * block
        scale = half(halves, row, at + 208)
        for group in range(8):  # Four of 32 weights in each half of the block, by the two bits of their high byte.
            side, number = group // 4, group % 4
            low, high = at + 64 * side + 32 * (number % 2), at + 128 + 32 * side
            shift, to = number // 2 * 4, begin + 256 * block + 32 * group
            first_scale = scale * np.float32(np.int8(row[at + 192 + 2 * group]))
            second_scale = scale * np.float32(np.int8(row[at + 193 + 2 * group]))
            even = take(even, codes(row, low, shift, 15, high, 2 * number, 3, 32, first_scale, NOTHING), x, to)
            weights = codes(row, low + 16, shift, 15, high + 16, 2 * number, 3, 32, second_scale, NOTHING)
            odd = take(odd, weights, x, to + 16)
    return summed(even) + summed(odd)


@njit(forceinline=True)
def take_row(kind, halves, row, first, end, take, x, begin):
    if kind == Q4_0:
        return q4_0_and_q4_1(halves, row, first, end, take, x, begin, 18, 8)
    if kind == Q4_1:
        return q4_0_and_q4_1(halves, row, first, end, take, x, begin, 20, 0)
    if kind == Q8_0:
        return q8_0(halves, row, first, end, take, x, begin)
    if kind == Q4_K:
        return q4_k_and_q5_k(halves, row, first, end, take, x, begin, 144, 0)
    if kind == Q5_K:
        return q4_k_and_q5_k(halves, row, first, end, take, x, begin, 176, 1)
    return q6_k(halves, row, first, end, take, x, begin)


# -- Matrices ----------------------------------------------------------------------------------------------------------


@njit(forceinline=True)
def multiply(total, weights, x, at):
    return multiplied(total, weights, x, at)


def _decoded(kind, halves, blocks, row_bytes, out, width):
    for row in range(len(out) // width):
        take_row(kind, halves, blocks, row * row_bytes, (row + 1) * row_bytes, put, out, row * width)


def _products(kind, halves, blocks, row_bytes, x, width, out, start, stop):
    rows = len(out) // (len(x) // width)  # Of the matrix.
    for row in range(start, stop):
        for at in range(len(x) // width):
            first = row * row_bytes
            out[at * rows + row] = take_row(kind, halves, blocks, first, first + row_bytes, multiply, x, at * width)


def _kept(function: Callable[..., None], signature: Any) -> Callable[..., None]:
    """Compiled for arguments of these types, or loaded where an earlier process compiled it."""
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except RuntimeError:  # There is no folder that it could write to.
        return njit(signature, nogil=True)(function)


# A call with arguments of exactly these types takes a microsecond; numba takes 60 to find out that others will do.
BYTES, FLOATS = types.Array(types.uint8, 1, "C", readonly=True), types.float32[::1]
decoded = _kept(_decoded, types.void(types.intp, FLOATS, BYTES, types.intp, FLOATS, types.intp))
"""`decoded(kind, HALVES, blocks, bytes of a row, out, width)`: the rows in `blocks` to float32. All arrays are flat."""
products = _kept(
    _products, types.void(types.intp, FLOATS, BYTES, types.intp, FLOATS, types.intp, FLOATS, types.intp, types.intp)
)
"""`products(kind, HALVES, blocks, bytes of a row, x, width, out, start, stop)`: x [N, I] times rows `start` to `stop`
of the matrix, to those columns of out [N, O]."""
