"""Recorded activations: named arrays in numpy's `.npz` archives, which may come from strangers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from llminspect.errors import UserError
from llminspect.files.source import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from llminspect.core.array import Array

LARGEST = 8 << 30
"""Bytes of one unpacked array that are read; a compressed archive can claim any size."""


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, Array]:
    """Those of the named arrays that the archive holds; the others in it are not unpacked.

    Nothing is unpickled. UserError: no such file, not an archive of arrays, broken, or too large.
    """
    import zipfile
    import zlib

    import numpy as np

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
