"""Matrices that stay as the file quantizes them: which of a model's can, and what they do in the core."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.backends.kernels.library import library
from llminspect.core.array import RowsOnDemand, linear
from llminspect.core.threads import number
from llminspect.errors import ModelError
from llminspect.files.quant_types import COMPILED
from llminspect.files.weights import dequantize
from llminspect.model.reading import not_finite
from llminspect.model.spec import expanded_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.core.array import Array
    from llminspect.files.quant_types import NumberType
    from llminspect.model.opened import Description
    from llminspect.model.spec import TensorSpec


SHAPES = {"V D", "HE D", "KE D", "D HE", "F D", "D F"}
"""Of the arrays that are multiplied with, or looked up in, and nothing else."""

FEW = 4
"""Rows of x up to which the weights are only ever in registers."""
UNIT, ARRANGED, DEEP, TALL = 64, 80, 512, 24
"""As in products.c."""
MOST = 1024
"""Rows of x that are multiplied at once: they are copied into another order."""

WORTH_SHARING = 2_000_000
"""Multiplications from which on a second thread saves more time than it takes to wake it."""


class Blocks(RowsOnDemand):
    """A matrix [O, I] kept as its blocks, uint8 [O, bytes of a row]; rows of it, or all, are decoded when used."""

    def __init__(self, kind: NumberType, blocks_OB: Array, threads: int) -> None:
        rows, row_bytes = blocks_OB.shape
        super().__init__((rows, row_bytes // kind.bytes * kind.weights), self._decoded)
        self._library, self._kind, self._threads, self._blocks_OB = library(), kind, threads, blocks_OB

    def products(self, x_NI: Array) -> Array:
        """x Wᵀ [N, I] -> [N, O]."""
        if x_NI.dtype != np.float32:
            return self._by_numpy(x_NI)
        y_NO = np.empty((len(x_NI), len(self)), np.float32)
        for start in range(0, len(x_NI), MOST):
            x, y = np.ascontiguousarray(x_NI[start : start + MOST]), y_NO[start : start + MOST]
            self._shared(self._few(x, y) if len(x) <= FEW else self._many(x, y), len(x))
        return y_NO

    def _few(self, x_NI: Array, y_NO: Array) -> Callable[[int, int], None]:
        number, width = x_NI.shape
        arranged = np.empty(number * width // UNIT * ARRANGED, np.float32)
        self._library.arrange(self._kind.number, x_NI.ctypes.data, number, width, arranged.ctypes.data)
        return lambda start, stop: self._library.few(
            *self._matrix, arranged.ctypes.data, number, width, y_NO.ctypes.data, len(self), start, stop
        )

    def _many(self, x_NI: Array, y_NO: Array) -> Callable[[int, int], None]:
        number, width = x_NI.shape
        across = 8 if number <= 8 else 16
        filled = -(-number // across) * across
        packed = np.empty(filled * width, np.float32)
        self._library.pack(self._kind.number, x_NI.ctypes.data, number, width, across, packed.ctypes.data)

        def some(start: int, stop: int) -> None:
            scratch = np.zeros(TALL * (DEEP + filled), np.float32)
            sizes, out = (number, width, across), (y_NO.ctypes.data, len(self), start, stop)
            self._library.many(*self._matrix, packed.ctypes.data, *sizes, *out, scratch.ctypes.data)

        return some

    def becoming(self, kind: type[Blocks]) -> Blocks | None:
        """The same matrix as another kind of it, where its file quantizes it in whole units."""
        whole = self._kind.weights > 1 and self.shape[1] % UNIT == 0
        return kind(self._kind, self._blocks_OB, self._threads) if whole else None

    @property
    def _matrix(self) -> tuple[int | None, int, int]:
        return self._kind.number, self._blocks_OB.ctypes.data, self._blocks_OB.shape[1]

    def _by_numpy(self, x_NI: Array) -> Array:
        y_NO = np.empty((len(x_NI), len(self)), np.result_type(x_NI, np.float32))
        for start in range(0, len(self), self._step):
            rows_PI = self._piece(start)
            y_NO[:, start : start + len(rows_PI)] = linear(x_NI, rows_PI)
        return y_NO

    def finite(self) -> bool:
        """Whether no weight is NaN or infinite: then no scale is."""
        if not self._kind.scales:  # A power of two is always a number.
            return True
        blocks = self._blocks_OB.reshape(-1, self._kind.bytes).view("<u2")
        return not any((blocks[:, at // 2] & 0x7C00 == 0x7C00).any() for at in self._kind.scales)

    def _decoded(self, start: int, stop: int) -> Array:
        return dequantize(self._kind.name, self._blocks_OB[start:stop]).reshape(stop - start, -1)

    def _shared(self, work: Callable[[int, int], None], times: int) -> None:
        """`work(start, stop)` for all rows, where that is much by several threads."""
        rows = len(self)
        number = self._threads if rows * self.shape[1] * times >= WORTH_SHARING else 1
        cuts = [rows * part // number for part in range(number + 1)]
        others = [_helpers(self._threads).submit(work, *ends) for ends in pairwise(cuts[1:])]
        work(cuts[0], cuts[1])
        for other in others:
            other.result()


@cache
def _helpers(threads: int) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(threads - 1)


def matrices(description: Description, finite: bool = True) -> dict[str, Any]:
    """The matrices of a model that its file keeps in blocks of a known kind, by their names in the core.

    Raises UserError where there are no compiled products, ModelError where, with `finite`, a weight is NaN or infinite.
    """
    found = {spec: kind for spec in description.specs if (kind := _kind(description, spec)) is not None}
    threads = number() if found else 1
    by_name = {spec.name: Blocks(kind, _blocks(description, spec, kind), threads) for spec, kind in found.items()}
    wrong = [name for name, matrix in by_name.items() if finite and not matrix.finite()]
    if wrong:
        raise not_finite(wrong)
    return by_name


def _kind(description: Description, spec: TensorSpec) -> NumberType | None:
    located = description.located
    weights = None if located is None or located.format != "gguf" else located.weights
    if weights is None or spec.shape not in SHAPES or not isinstance(spec.gguf, str):
        return None
    kind = COMPILED.get(weights.tensors[spec.gguf].type)
    whole = expanded_shape(spec.shape, description.config.sizes)[1] % UNIT == 0
    return kind if whole else None


def _blocks(description: Description, spec: TensorSpec, kind: NumberType) -> Array:
    """The bytes [O, bytes of a row] of a matrix: as they lie in the file, where its rows have the core's order."""
    located, config = description.located, description.config
    assert located is not None
    assert located.weights is not None
    blocks_OB: Array = located.weights.raw(spec.gguf)  # type: ignore[arg-type]
    # What a GGUF file has otherwise than the core is which rows come first: so with bytes as with numbers.
    fix = spec.gguf_fix
    if fix is not None:
        blocks_OB = np.ascontiguousarray(fix(blocks_OB, config))
        blocks_OB.flags.writeable = False
    rows, width = expanded_shape(spec.shape, config.sizes)
    if blocks_OB.shape != (rows, width // kind.weights * kind.bytes):
        raise ModelError(f"tensor {spec.name} has not the shape {(rows, width)} that the configuration says")
    return blocks_OB
