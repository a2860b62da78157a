"""Matrices that stay as the file quantizes them: which of a model's can, and what they do in the core."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from llminspect.core.array import RowsOnDemand, linear
from llminspect.core.threads import products
from llminspect.errors import ModelError, UsageError, UserError
from llminspect.files.quant_types import COMPILED
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
"""Rows up to which a product is taken block by block; of more, numpy's with the decoded matrix takes no longer."""

WORTH_SHARING = 2_000_000
"""Weights from which on a second thread saves more time than it takes to wake it."""


class Blocks(RowsOnDemand):
    """A matrix [O, I] kept as its blocks, uint8 [O, bytes of a row]; rows of it, or all, are decoded when used."""

    def __init__(self, kind: NumberType, blocks_OB: Array, threads: int) -> None:
        rows, row_bytes = blocks_OB.shape
        super().__init__((rows, row_bytes // kind.bytes * kind.weights), self._decoded)
        self._compiled, self._kind, self._threads = _compiled(), kind, threads
        self._bytes, self._row_bytes = blocks_OB.reshape(-1), row_bytes

    def products(self, x_NI: Array) -> Array:
        """x Wᵀ [N, I] -> [N, O]."""
        if len(x_NI) > FEW or x_NI.dtype != np.float32:
            return self._by_numpy(x_NI)
        y_NO = np.empty((len(x_NI), len(self)), np.float32)
        # Copied only where it is not of the one type that the compiled function knows.
        x, y = np.require(x_NI, requirements=["C", "W"]).reshape(-1), y_NO.reshape(-1)
        kind, halves, width = self._kind.number, self._compiled.HALVES, self.shape[1]

        def some(start: int, stop: int) -> None:
            self._compiled.products(kind, halves, self._bytes, self._row_bytes, x, width, y, start, stop)

        self._shared(some, 0, len(self))
        return y_NO

    def _by_numpy(self, x_NI: Array) -> Array:
        y_NO = np.empty((len(x_NI), len(self)), np.result_type(x_NI, np.float32))
        for start in range(0, len(self), self._step):
            rows_PI = self._piece(start)
            y_NO[:, start : start + len(rows_PI)] = linear(x_NI, rows_PI)
        return y_NO

    def finite(self) -> bool:
        """Whether no weight is NaN or infinite: then no scale is."""
        blocks = self._bytes.reshape(-1, self._kind.bytes).view("<u2")
        return not any((blocks[:, at // 2] & 0x7C00 == 0x7C00).any() for at in self._kind.scales)

    def _decoded(self, start: int, stop: int) -> Array:
        weights_PI = np.empty((stop - start, self.shape[1]), np.float32)
        weights, halves, width = weights_PI.reshape(-1), self._compiled.HALVES, self.shape[1]

        def some(first: int, last: int) -> None:
            blocks = self._bytes[first * self._row_bytes : last * self._row_bytes]
            out = weights[(first - start) * width : (last - start) * width]
            self._compiled.decoded(self._kind.number, halves, blocks, self._row_bytes, out, width)

        self._shared(some, start, stop)
        return weights_PI

    def _shared(self, work: Callable[[int, int], None], start: int, stop: int) -> None:
        """`work(start, stop)`, where that is much by several threads."""
        number = self._threads if (stop - start) * self.shape[1] >= WORTH_SHARING else 1
        cuts = [start + (stop - start) * part // number for part in range(number + 1)]
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

    Raises UsageError where it has none, UserError where numba does not work, ModelError where, with `finite`, a weight
    is NaN or infinite.
    """
    found = {spec: kind for spec in description.specs if (kind := _kind(description, spec)) is not None}
    if not found:
        nothing_quantized(description.name)
    threads = _threads()
    by_name = {spec.name: Blocks(kind, _blocks(description, spec, kind), threads) for spec, kind in found.items()}
    wrong = [name for name, matrix in by_name.items() if finite and not matrix.finite()]
    if wrong:
        raise not_finite(wrong)
    return by_name


def nothing_quantized(name: str) -> NoReturn:
    raise UsageError(
        f"{name} has no matrix in blocks of {', '.join(COMPILED)} that --kernels numba could multiply with",
        "leave it out, or take a GGUF file that is quantized",
    )


def _kind(description: Description, spec: TensorSpec) -> NumberType | None:
    located = description.located
    weights = None if located is None or located.format != "gguf" else located.weights
    if weights is None or spec.shape not in SHAPES or not isinstance(spec.gguf, str):
        return None
    return COMPILED.get(weights.tensors[spec.gguf].type)


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


@cache
def _compiled() -> Any:
    """What numba compiled, or compiles now. UserError: it cannot be imported here."""
    try:
        from llminspect.backends.kernels import compiled
    except ImportError as error:  # It says so where it is older than Python or numpy.
        raise UserError(f"numba cannot be used: {error}", "pip install -U 'llminspect-cli[compiled]'") from None
    return compiled


def _threads() -> int:
    """As many as numpy's products use."""
    return max(1, min((library.num_threads for library in products().lib_controllers), default=1))
