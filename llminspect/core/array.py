"""The little that the core asks of an array library.

The functions of the core are written against the arrays' own namespace (`x.__array_namespace__()`, the Python array API
standard), so that the same code runs on numpy and under a compiled, sharded library.

Dimension letters: T tokens (queries), S tokens seen (keys), D model width, L layers, H query heads, K key/value heads,
E width of one head, F feed-forward width, V vocabulary, X experts. Any array may have further axes in front (a batch).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from llminspect.core.rows import Array as Array
from llminspect.core.rows import RowsOnDemand


def namespace(array: Array) -> Any:
    """The functions that belong to `array`: numpy's, or those of the library that made it."""
    return array.__array_namespace__()


def overwrite(function: str, temporary: Array, *others: Any) -> Array:
    """`function(temporary, *others)`, written over `temporary` where the library allows it.

    Only for an array that the caller made itself and nobody else holds: a fresh array of this size costs more in page
    faults than the arithmetic on it.
    """
    if isinstance(temporary, np.ndarray):
        result: Array = getattr(np, function)(temporary, *others, out=temporary)
        return result
    other_library: Array = getattr(namespace(temporary), function)(temporary, *others)
    return other_library


def put(array: Array, index: Any, value: Any) -> Array:
    """A copy of `array` with `value` at `index`."""
    if isinstance(array, np.ndarray):
        result = array.copy()
        result[index] = value
        return result
    other_library: Array = array.at[index].set(value)  # The way of libraries whose arrays cannot be written to.
    return other_library


FEW_ROWS = 12
"""Rows of x up to which a product in pieces is the faster one."""
SMALL_PRODUCT = 1_000_000
"""Multiplications below which a matrix product needs no packed copy of the matrix (OpenBLAS's own limit)."""


def linear(x_TI: Array, weight_OI: Array | RowsOnDemand, bias_O: Array | None = None) -> Array:
    """y = x Wᵀ + b: x [..., T, I], weight [O, I], bias [O] -> [..., T, O]."""
    if isinstance(x_TI, np.ndarray):
        rows_NI = x_TI.reshape(-1, x_TI.shape[-1])  # One product, also for a batch.
        if isinstance(weight_OI, RowsOnDemand):
            y_NO = weight_OI.products(rows_NI)
        else:
            few = 1 < len(rows_NI) <= FEW_ROWS
            y_NO = _few_rows(rows_NI, weight_OI) if few else rows_NI @ weight_OI.T
        y_TO = y_NO.reshape(*x_TI.shape[:-1], len(weight_OI))
    else:
        assert not isinstance(weight_OI, RowsOnDemand), "only numpy's arrays are made row by row"
        y_TO = x_TI @ weight_OI.T
    return y_TO if bias_O is None else overwrite("add", y_TO, bias_O)


class ByName(Protocol):
    """Arrays by their names: of a layer, or of a whole model."""

    def __getitem__(self, name: str, /) -> Array: ...

    def get(self, name: str, /) -> Array | None: ...


def mapped(arrays: ByName, name: str, x_TI: Array) -> Array:
    """The linear map `name`, with its bias if it has one, [..., T, O]."""
    return linear(x_TI, arrays[f"{name}.weight"], arrays.get(f"{name}.bias"))


def _few_rows(x_NI: Array, weight_OI: Array) -> Array:
    """The same product, some rows of the matrix at a time.

    A library of matrix products first copies the matrix into an order of its own. For a few tokens that copy costs more
    than the product: the matrix is read, written and read again. Pieces small enough are multiplied as they lie.
    """
    (few, width), rows = x_NI.shape, len(weight_OI)
    block = min(64, SMALL_PRODUCT // (few * width)) // 16 * 16
    blocks = rows // block if block else 0
    if not blocks or not weight_OI.flags.c_contiguous:
        return x_NI @ weight_OI.T
    whole = blocks * block
    y_NO = np.empty((few, rows), np.result_type(x_NI, weight_OI))
    pieces_BNO = x_NI @ weight_OI[:whole].reshape(blocks, block, width).swapaxes(1, 2)
    y_NO[:, :whole].reshape(few, blocks, block)[:] = pieces_BNO.swapaxes(0, 1)
    if whole < rows:
        y_NO[:, whole:] = x_NI @ weight_OI[whole:].T
    return y_NO
