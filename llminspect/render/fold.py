"""Making a matrix small enough for a screen, and saying what was done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fold = Literal["mean", "max", "extreme", "thin"]
"""What stands for several neighbours: their mean, the largest, the one furthest from 0, or simply the first."""

_CALLED = {"mean": "the mean", "max": "the largest", "extreme": "the furthest from 0", "thin": "the first"}


def bin_size(count: int, room: int) -> int:
    """How many neighbours one cell must stand for so that `count` fit in `room`; even bins where that costs little."""
    least = -(-count // max(room, 1))
    for size in range(least, least + max(1, least // 3) + 1):
        if count % size == 0:
            return size
    return least


def fold_columns(values_RC: NDArray[np.floating], size: int, how: Fold) -> NDArray[np.floating]:
    """Each `size` columns of `values_RC` as one; NaN (masked) is left out, and NaN where there is nothing else."""
    if size == 1:
        return values_RC
    rows, columns = values_RC.shape
    if how == "thin":
        return values_RC[:, ::size]
    bins = -(-columns // size)
    padded = np.full((rows, bins * size), np.nan, values_RC.dtype)
    padded[:, :columns] = values_RC
    groups = padded.reshape(rows, bins, size)
    seen = ~np.isnan(groups)
    if how == "mean":
        total = np.where(seen, groups, 0).sum(axis=2)
        folded = total / np.maximum(seen.sum(axis=2), 1)
    elif how == "max":
        folded = np.where(seen, groups, -np.inf).max(axis=2)
    else:
        furthest = np.where(seen, np.abs(groups), -1).argmax(axis=2)
        folded = np.take_along_axis(groups, furthest[:, :, None], axis=2)[:, :, 0]
    return np.where(seen.any(axis=2), folded, np.nan)


def fold_rows(values_RC: NDArray[np.floating], size: int, how: Fold) -> NDArray[np.floating]:
    """Each `size` rows of `values_RC` as one, as `fold_columns` does with columns."""
    return fold_columns(values_RC.T, size, how).T


def fold_note(count: int, size: int, how: Fold, things: str, cells: str) -> str:
    """`576 dimensions folded to 64 columns, each the mean of 9`."""
    bins, rest = -(-count // size), count % size
    last = f" (the last of {rest})" if rest and how != "thin" else ""
    verb = "thinned" if how == "thin" else "folded"
    return f"{count:,} {things} {verb} to {bins} {cells}, each {_CALLED[how]} of {size}{last}"
