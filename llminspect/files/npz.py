"""numpy's archives of arrays (`.npz`): written piece by piece, and read where they may come from strangers."""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import partial
from typing import IO, TYPE_CHECKING

import numpy as np

from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError
from llminspect.files.source import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from llminspect.core.array import Array

LARGEST = 8 << 30
"""Bytes of one unpacked array that are read; a compressed archive can claim any size."""


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


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, Array]:
    """Those of the named arrays that the archive holds; the others in it are not unpacked.

    Nothing is unpickled. UserError: no such file, not an archive of arrays, broken, or too large.
    """
    content = io.BytesIO(read_bytes(path))
    try:
        with zipfile.ZipFile(content) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        wanted = [name for name in names if f"{name}.npy" in sizes]
        if any(sizes[f"{name}.npy"] > LARGEST for name in wanted):
            raise UserError(f"{path} holds an array of more than {LARGEST >> 30} GB")
        with np.load(content, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in wanted}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, SyntaxError, NotImplementedError):
        raise UserError(
            f"{path} is not an archive of arrays (.npz)", "make one with llminspect verify MODEL --record FILE.npz"
        ) from None
