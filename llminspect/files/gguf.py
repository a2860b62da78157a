"""GGUF files: mapped into memory, the header parsed at once, weights decoded when asked for.

An own reader because a person waits for it: SmolLM2's header with its vocabulary takes 0.03 s here and 4 s with the
`gguf` package, which is the oracle in the tests.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError
from llminspect.files.gguf_header import MAGIC, read_header
from llminspect.files.known_header import known_header
from llminspect.files.mapped import MappedFile
from llminspect.files.weights import shown

if TYPE_CHECKING:
    from pathlib import Path


class GGUFFile(MappedFile):
    """An open GGUF file, version 2 or 3: a `WeightFile` with metadata.

    `metadata` holds plain Python values under the file's own keys; lists of strings keep bytes that are not UTF-8 as
    lone surrogates. ModelError: not a GGUF file, cut short, or broken, and how.
    """

    version: int
    metadata: dict[str, Any]

    def __init__(self, path: Path | str) -> None:
        from pathlib import Path

        self.path = Path(path)
        self._map = _mapped(self.path)
        try:
            header = known_header(self.path, lambda: read_header(self._map, len(self._map), self._refuse))
        except BaseException:
            self.close()
            raise
        self.version, self.metadata, self.tensors = header.version, header.metadata, header.tensors


def _mapped(path: Path) -> mmap.mmap:
    """The file as read-only memory, after a look at its first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if not start:
                raise ModelError(f"{shown(path.name)} is empty", "fetch the file again")
            if start[:4] != MAGIC:
                raise ModelError(f"{shown(path.name)} is not a GGUF file{_what_it_looks_like(start)}")
            return mmap.mmap(file.fileno(), os.fstat(file.fileno()).st_size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"cannot open {shown(path)}: {error.strerror or error}") from None


def _what_it_looks_like(start: bytes) -> str:
    if start[:4] == b"PK\x03\x04":
        return "; it is a zip archive (a pickled checkpoint?)"
    if start[:4] in (b"ggml", b"lmgg", b"ggjt", b"tjgg", b"ggla", b"algg"):
        return "; it is in a format older than GGUF"
    if start.startswith(b"version "):
        return "; it is a Git LFS pointer: the weights themselves were not fetched"
    if start[0] == 0x80:
        return "; it looks like a pickle, which llminspect never opens because that runs code"
    if start.lstrip().startswith((b"<", b"{")):
        return "; it is text (a saved web page?)"
    return ""
