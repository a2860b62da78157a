"""numpy's archive of arrays, written piece by piece."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llminspect.core.array import Array


@dataclass(frozen=True)
class Streamed:
    """A float32 array too large to be held: `produce(put)` puts one block after another, in the order of the array."""

    shape: tuple[int, ...]
    produce: Callable[[Callable[[Array], object]], None]


def write_npz(file: IO[bytes], arrays: Mapping[str, Array | Streamed]) -> None:
    """The arrays in numpy's own archive form, one after another, none of them copied whole."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                if isinstance(array, Streamed):
                    header = {"descr": "<f4", "fortran_order": False, "shape": array.shape}
                    np.lib.format.write_array_header_1_0(entry, header)
                    array.produce(partial(_put, entry))
                else:
                    np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)


def _put(entry: IO[bytes], block: Array) -> None:
    entry.write(np.ascontiguousarray(block, "<f4").data)
