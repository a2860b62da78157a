"""GGUF files: mapped into memory, the header parsed at once, weights decoded when asked for.

An own reader because a person waits for it: SmolLM2's header with its vocabulary takes 0.03 s here and 4 s with the
`gguf` package, which is the oracle in the tests.

A header that was parsed before comes from the cache: a large vocabulary in a quarter of the time. What is kept belongs
to the file at that place with that size, time of change and number in the file system (`state`); where any of them
differs, or the copy is not whole, the header is parsed again. Nothing is kept of a file that was changed a moment ago:
another change in the same tick of the file system's clock would not show. The copy is in Python's own `marshal`: like
the prepared weights it lies in the user's cache folder, which nobody else writes to.
"""

from __future__ import annotations

import marshal
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError, UserError
from llminspect.files.gguf_header import MAGIC, Header, read_header
from llminspect.files.hashes import settled, state, state_key
from llminspect.files.home import home, subfolder, write_whole
from llminspect.files.weights import TensorInfo, WeightFile, shown

if TYPE_CHECKING:
    from pathlib import Path

KEPT_MAGIC = b"LLMINSH1"
"""Of a kept header; the digit goes up when what is kept changes."""
WORTH_KEEPING = 1 << 18
"""Bytes of a header from which on parsing it takes longer than a look into the cache."""
_OLDEST_MARSHAL = 4
"""The version that every supported Python reads."""


class GGUFFile(WeightFile):
    """An open GGUF file, version 2 or 3: a file of weights with metadata.

    `metadata` holds plain Python values under the file's own keys; lists of strings keep bytes that are not UTF-8 as
    lone surrogates. ModelError: not a GGUF file, cut short, or broken, and how.
    """

    version: int
    metadata: dict[str, Any]

    def _check_start(self, start: bytes) -> None:
        if not start:
            raise ModelError(f"{shown(self.path.name)} is empty", "fetch the file again")
        if start[:4] != MAGIC:
            raise ModelError(f"{shown(self.path.name)} is not a GGUF file{_what_it_looks_like(start)}")

    def _read_header(self) -> None:
        """From the cache, where it was parsed before."""
        kept_at = home() / "headers" / f"{state_key(self.path)}.header"
        content = _content(kept_at)
        if content is not None:
            with suppress(ValueError, EOFError, TypeError):  # Written by a Python whose marshal this one does not read.
                found, version, metadata, tensors, _ = marshal.loads(content)
                if found == state(self.path):
                    self.tensors = {tensor[0]: TensorInfo(*tensor) for tensor in tensors}
                    self.version, self.metadata = version, metadata
                    return
        header = read_header(self._map, len(self._map), self._refuse)
        self.version, self.metadata, self.tensors = header.version, header.metadata, header.tensors
        if header.data_start >= WORTH_KEEPING and settled(self.path):
            with suppress(OSError, UserError):  # A cache that cannot be written costs time, nothing else.
                _write(subfolder("headers") / kept_at.name, state(self.path), header)


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


def is_whole_header(path: Path) -> bool:
    """Whether a kept header holds what was written."""
    return _content(path) is not None


def _content(path: Path) -> bytes | None:
    """What was written, if all of it is there: magic, CRC-32, content."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    front, content = data[:12], data[12:]
    return content if front == KEPT_MAGIC + zlib.crc32(content).to_bytes(4, "little") else None


def _write(path: Path, of: str, header: Header) -> None:
    tensors = [(info.name, info.shape, info.type, info.offset, info.nbytes) for info in header.tensors.values()]
    content = marshal.dumps((of, header.version, header.metadata, tensors, header.data_start), _OLDEST_MARSHAL)
    front = KEPT_MAGIC + zlib.crc32(content).to_bytes(4, "little")
    write_whole(path, front + content)
