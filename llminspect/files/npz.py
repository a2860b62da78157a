"""numpy's archives of arrays (`.npz`): written piece by piece, and read where they may come from strangers."""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError, reader
from llminspect.files.source import read_bounded

LARGEST = 8 << 30
"""Bytes of one unpacked array that are read; a compressed archive can claim any size."""


LONGEST_HEADER, MOST_DIMENSIONS = 10_000, 32
_HEADER = re.compile(
    r"\{'descr': '([<>|=][biuf][1248])', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\),? ?\}\s*"
)


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


@reader("the archive of arrays", UserError)
def read_arrays(
    path: Path,
    names: Iterable[str],
    *,
    largest: int = LARGEST,
    hint: str = "make one with llminspect verify MODEL --record FILE.npz",
) -> dict[str, Array]:
    """Those of the named arrays that the archive holds; the others in it are not unpacked.

    Nothing is unpickled. UserError, with the `hint`: no such file, not an archive of arrays, broken, or one of them, or
    the file, has more than `largest` bytes.
    """
    content = io.BytesIO(read_bounded(path, largest, plain=True))
    try:
        with zipfile.ZipFile(content) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            found = {}
            for name in names:
                if (entry := entries.get(f"{name}.npy")) is not None:
                    # numpy writes no others, and a header of LZMA may ask for gigabytes.
                    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise ValueError
                    if entry.file_size > largest:
                        raise UserError(f"{path} holds an array of more than {largest >> 20:,} MB")
                    found[name] = _array(archive.read(entry))
            return found
    except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, EOFError, OSError, SyntaxError, RuntimeError):
        raise UserError(f"{path} is not an archive of arrays (.npz)", hint) from None


def _array(data: bytes) -> Array:
    """An array of numbers from its own file. ValueError: it is none, or not all of it is there.

    The form: numpy's documentation of numpy.lib.format. Of numpy's reader it differs in that a type is one number (no
    text, dates, records or objects), and that nothing is allocated before the bytes are known to be there.
    """
    if data[:6] != b"\x93NUMPY" or len(data) < 12 or data[6] not in (1, 2, 3):
        raise ValueError
    width = 2 if data[6] == 1 else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if start > LONGEST_HEADER:
        raise ValueError
    header = _HEADER.fullmatch(data[8 + width : start].decode("latin-1"))
    if header is None:
        raise ValueError
    kind, order, sizes = header.groups()
    shape = tuple(int(size) for size in sizes.replace(",", " ").split())
    numbers = np.frombuffer(data, np.dtype(kind), -1 if len(data) > start else 0, start)
    if len(shape) > MOST_DIMENSIONS or numbers.size != math.prod(shape):
        raise ValueError
    return numbers.copy().reshape(shape, order="F" if order == "True" else "C")
