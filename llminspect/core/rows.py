"""A matrix of which only some rows are in memory: a vocabulary's, in a model that is larger than the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

PIECE = 1 << 24
"""Numbers in the rows that are made at once: 64 MB of float32."""


class RowsOnDemand:
    """A float32 matrix [V, D] whose rows `make(start, stop)` makes.

    It is looked up in (`rows[ids]`) and multiplied with (`products`) without ever being whole; numpy makes the whole of
    it where it is given to any other of its functions.
    """

    def __init__(self, shape: tuple[int, int], make: Callable[[int, int], Array], piece: int = PIECE) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.float32)
        self._make = make
        self._step = max(1, piece // shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, ids: Any) -> Array:
        """The rows of an id or of an array of ids [..., T] -> [..., T, D]; each is made once. IndexError as numpy's.

        Of a slice, without steps, the rows in it; of what has a second axis, as numpy's, with the whole made first.
        """
        if isinstance(ids, tuple):
            whole: Array = np.asarray(self)[ids]
            return whole
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
        found_TD: Array = made_ND[place_T.reshape(wanted_T.shape)]
        return found_TD

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self._make(0, len(self)), dtype)

    def products(self, x_NI: Array) -> Array:
        """x Wᵀ [N, I] -> [N, V], some rows of W at a time; the next ones are made while these are multiplied."""
        y_NV = np.empty((len(x_NI), len(self)), np.result_type(x_NI, np.float32))
        for start, rows_PI in self._pieces():
            np.matmul(x_NI, rows_PI.T, out=y_NV[:, start : start + len(rows_PI)])
        return y_NV

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
