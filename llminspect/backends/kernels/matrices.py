"""Matrices that stay as the file has them: which of a model's can, and what they do in the core."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from llminspect.backends.kernels.library import Matrix, address, library
from llminspect.core.array import Array, RowsOnDemand, linear
from llminspect.core.threads import number
from llminspect.errors import ModelError, understood
from llminspect.files.quant_types import COMPILED, NumberType
from llminspect.files.weights import WeightFile, dequantize
from llminspect.model.config import Config
from llminspect.model.copies import differs
from llminspect.model.opened import Description
from llminspect.model.reading import not_finite
from llminspect.model.spec import RowOrder, TensorSpec, expanded_shape

Part = tuple[NumberType, Array]
Whole = tuple[NumberType, Array, Array | None]
"""With the order of its rows, as `RowOrder.order` gives it, where that is not the core's."""


SHAPES = {"V D", "HE D", "KE D", "D HE", "F D", "D F"}
"""Of the arrays that are multiplied with, or looked up in, and nothing else."""

SHARED = re.compile(r".*feedforward\.(shared\.)?(gate|up|down)\.weight")
"""Such are these, however wide."""

FEW = 4
"""Rows of x up to which the weights are only ever in registers."""
UNIT, ARRANGED, DEEP, TALL, BESIDE, MOST_AT_ONCE = 64, 80, 512, 24, 32, 4
"""As in products.c and pieces.h."""
SOME, MANY, WHOLE = range(3)
"""The ways to multiply, of `multiply` in products.c."""
DIGITS = 3
"""In which x is as near to its float32 numbers as those are to the exact ones, measured by the largest of a block."""
MOST = 1024
"""Rows of x that are multiplied at once: they are copied into another order."""

WORTH_SHARING = 2_000_000
"""Multiplications from which on a second thread saves more time than it takes to call it."""


class Blocks(RowsOnDemand):
    """A matrix [O, I] kept as its blocks, uint8 [O, bytes of a row]; rows of it, or all, are decoded when used.

    The rows may lie apart; the bytes of one lie together. `order_O`: where its row o lies among the blocks; without it
    they are in order.
    """

    def __init__(self, kind: NumberType, blocks_OB: Array, threads: int, order_O: Array | None = None) -> None:
        rows, row_bytes = blocks_OB.shape
        super().__init__((rows, row_bytes // kind.bytes * kind.weights), self._decoded)
        self._library, self._kind, self._threads, self._blocks_OB = library(), kind, threads, blocks_OB
        self._matrix, self._order_O = (kind.number, blocks_OB.ctypes.data, blocks_OB.strides[0]), order_O
        self._digits = self._digits_of_a_row()
        self._row = Row([self]) if self._digits else None
        self._row_of_each: tuple[Sequence[Any], Row | None] = (), None

    def _digits_of_a_row(self) -> int:
        """In how many one row of x is multiplied with; 0 where that is float32."""
        return DIGITS if self._quantized and self._library.by_digits() else 0

    def products(self, x_NI: Array) -> Array:
        """x Wᵀ [N, I] -> [N, O]."""
        if x_NI.dtype != np.float32:
            return self._by_numpy(x_NI)
        y_NO = self._as_they_lie(x_NI)
        return y_NO if self._order_O is None else y_NO.take(self._order_O, axis=1)

    def _as_they_lie(self, x_NI: Array) -> Array:
        y_NO = np.empty((len(x_NI), len(self)), np.float32)
        if len(x_NI) == 1 and self._row is not None and self._row.multiplied(x_NI, y_NO):
            return y_NO
        for start in range(0, len(x_NI), MOST):
            x, y = np.ascontiguousarray(x_NI[start : start + MOST]), y_NO[start : start + MOST]
            self._multiply(*self._arranged(x), x, y)
        return y_NO

    def _arranged(self, x_NI: Array) -> tuple[int, int, Array]:
        """The way to multiply x, what that needs to know, and x as it wants it."""
        number, width = x_NI.shape
        if number > FEW:
            across = 8 if number <= 8 else 16
            packed = np.empty(-(-number // across) * across * units(width) * UNIT, np.float32)
            self._library.pack(self._kind.number, x_NI.ctypes.data, number, width, across, packed.ctypes.data)
            return MANY, across, packed
        arranged = np.empty(number * units(width) * ARRANGED, np.float32)
        self._library.arrange(self._kind.number, x_NI.ctypes.data, number, width, arranged.ctypes.data)
        return SOME, 0, arranged

    def products_of_each(self, matrices: Sequence[Any], x_NI: Array) -> list[Array] | None:
        """x Wᵀ of several matrices, of which this is the first, in one call: of one row of x as whole numbers."""
        if len(x_NI) != 1 or x_NI.dtype != np.float32 or self._row is None:
            return None
        those, row = self._row_of_each
        if len(those) != len(matrices) or any(a is not b for a, b in zip(those, matrices, strict=True)):
            fit = len(matrices) <= MOST_AT_ONCE and all(self._fits(other) for other in matrices)
            row = Row(matrices) if fit else None
            self._row_of_each = tuple(matrices), row
        if row is None:
            return None
        y_1O = np.empty((1, row.rows), np.float32)
        return [y_1O[:, part] for part in row.parts] if row.multiplied(x_NI, y_1O) else None

    def _fits(self, other: Any) -> bool:
        return isinstance(other, Blocks) and other._digits == self._digits and other.shape[1] == self.shape[1]

    def _multiply(self, way: int, more: int, arranged: Array, x_NI: Array, y_NO: Array) -> None:
        rows, (number, width) = len(self), x_NI.shape
        threads = self._threads if rows * width * number >= WORTH_SHARING else 1
        scratch = np.zeros(threads * TALL * (DEEP + -(-number // more) * more) if way == MANY else 0, np.float32)
        result = y_NO.ctypes.data, rows, scratch.ctypes.data
        self._library.multiply(threads, way, more, *self._matrix, arranged.ctypes.data, number, width, *result)

    @property
    def _quantized(self) -> bool:
        """Whether rows are whole units of blocks."""
        return self._kind.weights > 1 and self.shape[1] % UNIT == 0

    def becoming(self, kind: type[Blocks]) -> Blocks | None:
        """The same matrix as another kind of it, where its file quantizes it in whole units."""
        return kind(self._kind, self._blocks_OB, self._threads, self._order_O) if self._quantized else None

    def _by_numpy(self, x_NI: Array) -> Array:
        y_NO = np.empty((len(x_NI), len(self)), np.result_type(x_NI, np.float32))
        for start in range(0, len(self), self._step):
            rows_PI = self._piece(start)
            y_NO[:, start : start + len(rows_PI)] = linear(x_NI, rows_PI)
        return y_NO

    def finite(self) -> bool:
        """Whether no weight is NaN or infinite: then no sum of a row is, unless that alone grew too large."""
        sums_NO = self.products(np.ones((1, self.shape[1]), np.float32))
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(sums_NO).all()) or super().finite()

    def _decoded(self, start: int, stop: int) -> Array:
        rows_R = slice(start, stop) if self._order_O is None else self._order_O[start:stop]
        return dequantize(self._kind.name, self._blocks_OB[rows_R]).reshape(stop - start, -1)


class Row:
    """What it takes to multiply one row of x, as whole numbers, with some matrices that are as wide."""

    def __init__(self, matrices: Sequence[Blocks]) -> None:
        first, ends = matrices[0], list(accumulate(len(matrix) for matrix in matrices))
        self._library, self._digits, self.rows = first._library, first._digits, ends[-1]
        self.parts = [
            slice(start, stop) if matrix._order_O is None else start + matrix._order_O
            for matrix, (start, stop) in zip(matrices, pairwise([0, *ends]), strict=True)
        ]
        """Of the products, those of each matrix."""
        self._width = first.shape[1]
        self._threads = first._threads if self.rows * self._width >= WORTH_SHARING else 1
        self._room = len(matrices) * self._width // UNIT * (UNIT * self._digits + BESIDE) + UNIT
        self._matrices = (Matrix * len(matrices))(*(Matrix(*matrix._matrix, len(matrix)) for matrix in matrices))
        self._call = self._threads, self._digits, len(matrices), ctypes.addressof(self._matrices)

    def multiplied(self, x_1I: Array, y_1O: Array) -> bool:
        """Write x Wᵀ to `y_1O`, a matrix after the other, its rows as they lie; not where x has no digits that are near
        enough (pieces.h)."""
        x_1I, room = np.ascontiguousarray(x_1I), np.empty(self._room, np.uint8)
        vectors = address(x_1I), self._width, address(y_1O), address(room)
        return bool(self._library.multiply_row_by_each(*self._call, *vectors))


class ExpertMatrices:
    """Matrices [X, O, I], each as a type and its blocks; one is looked at as `experts[x]`.

    With `checked` that raises ModelError where, at the first time, a weight of it is NaN or infinite.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[tuple[NumberType, Array]],
        threads: int,
        checked: bool,
        made_as: type[Blocks] = Blocks,
    ) -> None:
        self._name, self._parts, self._threads, self._checked, self._made_as = name, parts, threads, checked, made_as
        self._made: dict[int, Blocks] = {}
        kind, (rows, row_bytes) = parts[0][0], parts[0][1].shape
        self.shape, self.dtype = (len(parts), rows, row_bytes // kind.bytes * kind.weights), np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int) -> Blocks:
        if index not in self._made:
            matrix = self._made_as(*self._parts[index], self._threads)
            if self._checked and not matrix.finite():
                raise not_finite([f"{self._name}, expert {index}"])
            self._made[index] = matrix
        return self._made[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.stack([np.asarray(Blocks(*part, self._threads)) for part in self._parts]).astype(dtype, copy=False)

    def finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(Blocks(*part, self._threads).finite() for part in self._parts)

    def becoming(self, kind: type[Blocks]) -> ExpertMatrices | None:
        """The same as another kind of matrices, where each can become one."""
        if any(Blocks(*part, self._threads).becoming(kind) is None for part in self._parts):
            return None
        return ExpertMatrices(self._name, self._parts, self._threads, self._checked, kind)


def matrices(description: Description, finite: bool = True) -> dict[str, Any]:
    """The matrices of a model that its file keeps as a known type, by their names in the core.

    Raises UserError where there are no compiled products, ModelError where, with `finite`, a weight is NaN or infinite.
    """
    if description.located is None or description.located.weights is None:
        return {}
    found = {spec.name: kept for spec in description.specs if (kept := _kept(description, spec)) is not None}
    threads = number() if found else 1
    by_name = {name: Blocks(*whole[:2], threads, whole[2]) for name, whole in found.items() if isinstance(whole, tuple)}
    wrong = [name for name, matrix in by_name.items() if finite and not matrix.finite()]
    if wrong:
        raise not_finite(wrong)
    stacked = {name: parts for name, parts in found.items() if isinstance(parts, list)}
    return by_name | {name: ExpertMatrices(name, parts, threads, finite) for name, parts in stacked.items()}


def units(width: int) -> int:
    """How many units a row fills, the last perhaps in part."""
    return -(-width // UNIT)


class _Bits(np.ndarray[Any, np.dtype[Any]]):
    """Numbers whose meaning numpy does not know: they can be brought into another order, and not be changed."""

    __array_ufunc__ = None  # type: ignore[assignment]


def _kept(description: Description, spec: TensorSpec) -> Whole | list[Part] | None:
    """A matrix, or those of experts, as a type and the bytes [O, bytes of a row]; None for one that becomes float32.

    They are as they lie in the file, where it has the core's rows.
    """
    located, config, weights = description.files, description.config, description.weights
    of_experts = spec.shape.startswith("X ") and spec.shape.count(" ") == 2
    names, one = spec.sources(located.format), getattr(spec, located.format)
    fix = getattr(spec, f"{located.format}_fix")
    if not (of_experts or spec.shape in SHAPES or SHARED.fullmatch(spec.name)):
        return None
    if not isinstance(one, str) and (not of_experts or fix is not None):
        return None
    parts = []
    for name in names:
        kind = COMPILED.get(weights.tensors[name].type) if weights.stores(name) else None
        axes = 3 if of_experts and isinstance(one, str) else 2
        if kind is None or len(weights.tensors[name].shape) != axes or not _repeated(weights, name, spec, config):
            return None
        rows_differ = isinstance(fix, RowOrder) and not of_experts
        blocks = _in_order(kind, weights, name, spec, None if rows_differ else fix, config)
        if blocks is None:
            return None
        parts += [(kind, blocks_OB) for blocks_OB in (blocks if axes == 3 else [blocks])]
    *count, rows, width = expanded_shape(spec.shape, config.sizes)
    right = [blocks_OB.shape == (rows, width // kind.weights * kind.bytes) for kind, blocks_OB in parts]
    if not all(right) or len(parts) != (count[0] if count else 1):
        raise ModelError(f"tensor {spec.name} has not the shape {(*count, rows, width)} that the configuration says")
    if of_experts:
        return parts
    with understood(f"tensor {spec.name}"):
        return (*parts[0], fix.order(rows, config) if isinstance(fix, RowOrder) else None)


def _in_order(
    kind: NumberType, weights: WeightFile, name: str, spec: TensorSpec, fix: Any, config: Config
) -> Array | None:
    """The bytes [..., O, bytes of a row] of a tensor in the core's order; None where it is not the order alone."""
    # So with bytes as with numbers.
    raw = weights.bytes_of(name).reshape(*weights.tensors[name].shape[:-1], -1)
    bits: Array = raw.view(f"u{kind.bytes}" if kind.weights == 1 else "u1").view(_Bits)
    with understood(f"tensor {spec.name}"):
        try:
            bits = bits if fix is None else fix(bits, config)
        except TypeError:  # They are multiplied, or something is added.
            return None
    if bits.strides[-1] != bits.itemsize:
        if kind.bytes == 4:  # To turn float32 numbers each time saves no byte: they are prepared.
            return None
        bits = np.ascontiguousarray(bits)
    blocks = bits.view(np.ndarray).view("u1")
    blocks.flags.writeable = False
    return blocks


def _repeated(weights: WeightFile, name: str, spec: TensorSpec, config: Config) -> bool:
    """Whether tensors that should repeat this one do so byte for byte, and others say what they should."""
    bytes_B = weights.bytes_of(name)
    return all(
        np.array_equal(weights.bytes_of(copied), bytes_B)
        if copy.of
        else not differs(weights.array(copied), copy, bytes_B, config)
        for copied, copy in spec.copies
    )
