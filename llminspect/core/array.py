"""The little that the core asks of an array library.

The functions of the core are written against the arrays' own namespace (`x.__array_namespace__()`, the Python array API
standard), so that the same code runs on numpy and under a compiled, sharded library.

Dimension letters: T tokens (queries), S tokens seen (keys), D model width, L layers, H query heads, K key/value heads,
E width of one head, F feed-forward width, V vocabulary, X experts. Any array may have further axes in front (a batch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Functions(Protocol):
    """Those of an array library, each of which gives an array."""

    def __getattr__(self, name: str, /) -> Callable[..., Array]: ...


namespace: Callable[[Array], Functions] = methodcaller("__array_namespace__")
"""The functions that belong to an array: numpy's, or those of the library that made it."""


def overwrite(function: str, temporary: Array, *others: Any) -> Array:
    """`function(temporary, *others)`, written over `temporary` where the library allows it.

    Only for an array that the caller made itself and nobody else holds: a fresh array of this size costs more in page
    faults than the arithmetic on it.
    """
    if isinstance(temporary, np.ndarray):
        result: Array = getattr(np, function)(temporary, *others, out=temporary)
        return result
    return getattr(namespace(temporary), function)(temporary, *others)


def mean_of_last(x_TD: Array) -> Array:
    """The mean over the last axis, [..., T, 1]."""
    if isinstance(x_TD, np.ndarray):  # As numpy's own `mean`, which takes twice the time for one row.
        mean_T1: Array = np.add.reduce(x_TD, -1, keepdims=True) / x_TD.shape[-1]
        return mean_T1
    return namespace(x_TD).mean(x_TD, axis=-1, keepdims=True)


def concrete(*arrays: Any) -> bool:
    """Whether their numbers are known as the code runs: not of arrays inside code that is being compiled."""
    return all(isinstance(array, np.ndarray) or hasattr(array, "tape") for array in arrays)


def put(array: Array, index: Any, value: Any) -> Array:
    """A copy of `array` with `value` at `index`."""
    if concrete(array):
        result = value.constant(array).copy() if hasattr(value, "tape") else array.copy()
        result[index] = value
        return result
    other_library: Array = array.at[index].set(value)  # type: ignore[attr-defined] # The way of libraries whose arrays cannot be written to.
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
    elif isinstance(weight_OI, RowsOnDemand):
        y_TO = x_TI.through(weight_OI)  # Of a tape (core/tape.py): no other library's arrays meet such a matrix.
    else:
        y_TO = x_TI @ weight_OI.T
    return y_TO if bias_O is None else overwrite("add", y_TO, bias_O)


class ByName(Protocol):
    """Arrays by their names: of a layer, or of a whole model."""

    def __getitem__(self, name: str, /) -> Array: ...

    def get(self, name: str, /) -> Array | None: ...


def mapped(arrays: ByName, name: str, x_TI: Array) -> Array:
    """The linear map `name`, with its bias if it has one, [..., T, O]."""
    return linear(x_TI, arrays[f"{name}.weight"], arrays.get(f"{name}.bias"))


def mapped_each(arrays: ByName, names: Sequence[str], x_TI: Array) -> list[Array]:
    """The linear maps `names` of the same array, as `mapped` makes each."""
    weights = [arrays[f"{name}.weight"] for name in names]
    if isinstance(x_TI, np.ndarray) and isinstance(weights[0], RowsOnDemand):
        found = weights[0].products_of_each(weights, x_TI.reshape(-1, x_TI.shape[-1]))
        if found is not None:
            biases = [arrays.get(f"{name}.bias") for name in names]
            made = [y_NO.reshape(*x_TI.shape[:-1], y_NO.shape[-1]) for y_NO in found]
            return [y if bias is None else overwrite("add", y, bias) for y, bias in zip(made, biases, strict=True)]
    return [mapped(arrays, name, x_TI) for name in names]


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


PIECE = 1 << 24
"""Numbers in the rows that are made at once: 64 MB of float32."""


class RowsOnDemand:
    """A matrix of which only some rows are in memory: a vocabulary's, in a model that is larger than the memory.

    It is a float32 matrix [V, D] whose rows `make(start, stop)` makes. It is looked up in (`rows[ids]`) and multiplied
    with (`products`) without ever being whole; numpy makes the whole of it where it is given to any other of its
    functions.
    """

    def __init__(self, shape: tuple[int, int], make: Callable[[int, int], Array], piece: int = PIECE) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.float32)
        self._make = make
        self._step = max(1, piece // shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        # A sum is finite only if every number is, short of an overflow that float64 does not have here.
        pieces = range(0, len(self), self._step)
        return all(np.isfinite(self[at : at + self._step].sum(dtype=np.float64)) for at in pieces)

    def __getitem__(self, ids: Any) -> Array:
        """The rows of an id or of an array of ids [..., T] -> [..., T, D]; each is made once. IndexError as numpy's.

        Of a slice, without steps, the rows in it; of what has a second axis, as numpy's, with the whole made first.
        """
        if isinstance(ids, tuple):
            return np.asarray(self)[ids]
        if isinstance(ids, slice):
            start, stop, step = ids.indices(len(self))
            assert step == 1, "rows that follow each other are made together"
            return self._make(start, max(start, stop))
        wanted_T = np.asarray(ids)
        outside = wanted_T[(wanted_T < 0) | (wanted_T >= len(self))]
        if outside.size:
            raise IndexError(f"row {outside.flat[0]} of {len(self)}")
        different_N, place_T = np.unique(wanted_T, return_inverse=True)
        made_ND = np.empty((len(different_N), self.shape[1]), np.float32)
        for index, row in enumerate(different_N.tolist()):
            made_ND[index] = self._make(row, row + 1)[0]
        return made_ND[place_T.reshape(wanted_T.shape)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self._make(0, len(self)), dtype)

    def products(self, x_NI: Array) -> Array:
        """x Wᵀ [N, I] -> [N, V], some rows of W at a time; the next ones are made while these are multiplied."""
        y_NV = np.empty((len(x_NI), len(self)), np.result_type(x_NI, np.float32))
        for start, rows_PI in self._pieces():
            np.matmul(x_NI, rows_PI.T, out=y_NV[:, start : start + len(rows_PI)])
        return y_NV

    def products_of_each(self, matrices: Sequence[Any], x_NI: Array) -> list[Array] | None:
        """`products` of several matrices, of which this is the first; None where that is no faster than one by one."""
        return None

    def _pieces(self) -> Iterator[tuple[int, Array]]:
        from concurrent.futures import ThreadPoolExecutor

        starts = range(0, len(self), self._step)
        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(self._piece, 0)
            for start in starts:
                rows_PI = following.result()
                if start + self._step < len(self):
                    following = ahead.submit(self._piece, start + self._step)
                yield start, rows_PI

    def _piece(self, start: int) -> Array:
        return self._make(start, min(start + self._step, len(self)))


def look_up(embedding_VD: Array | RowsOnDemand, ids_T: Array) -> Array:
    """The rows of `embedding_VD` for `ids_T` [..., T] -> [..., T, D]."""
    if isinstance(embedding_VD, RowsOnDemand):
        return embedding_VD[ids_T]
    return namespace(embedding_VD).take(embedding_VD, ids_T, axis=0)


def one_hot(ids_T: Array, vocabulary_size: int) -> Array:
    """A row of zeros with a one at the id, for each id [..., T] -> [..., T, V]: one_hot · E is what `look_up` reads."""
    xp = namespace(ids_T)
    hits: Array = ids_T[..., None] == xp.arange(vocabulary_size)
    return hits.astype("float32")
