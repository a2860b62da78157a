"""The header of a GGUF file as it was parsed before: a large vocabulary comes back in a quarter of the time.

What is kept belongs to the file at that place with that size, time of change and number in the file system (`state`);
where any of them differs, or the copy is not whole, the header is parsed again. Nothing is kept of a file that was
changed a moment ago: another change in the same tick of the file system's clock would not show. The copy is in Python's
own `marshal`: like the prepared weights it lies in the user's cache folder, which nobody else writes to.
"""

from __future__ import annotations

import marshal
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from llminspect.errors import UserError
from llminspect.files.gguf_header import Header
from llminspect.files.hashes import state, state_key
from llminspect.files.home import home, subfolder, write_whole
from llminspect.files.weights import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAGIC = b"LLMINSH1"
"""The digit goes up when what is kept changes."""
WORTH_KEEPING = 1 << 18
"""Bytes of a header from which on parsing it takes longer than a look into the cache."""
SETTLED = 2
"""Seconds after which a file's time of change tells changes apart."""
_OLDEST_MARSHAL = 4
"""The version that every supported Python reads."""


def known_header(path: Path, parse: Callable[[], Header]) -> Header:
    """The header of the file at `path`: from the cache, or by `parse()`, whose errors go through."""
    kept_at = home() / "headers" / f"{state_key(path)}.header"
    header = _read(kept_at, state(path))
    if header is None:
        header = parse()
        if header.data_start >= WORTH_KEEPING and time.time() - path.stat().st_mtime > SETTLED:
            with suppress(OSError, UserError):  # A cache that cannot be written costs time, nothing else.
                _write(subfolder("headers") / kept_at.name, state(path), header)
    return header


def is_whole(path: Path) -> bool:
    """Whether a kept header holds what was written."""
    return _content(path) is not None


def _read(kept_at: Path, expected: str) -> Header | None:
    content = _content(kept_at)
    if content is None:
        return None
    try:
        found, version, metadata, tensors, data_start = marshal.loads(content)
    except (ValueError, EOFError, TypeError):  # Written by a Python whose marshal this one does not read.
        return None
    if found != expected:
        return None
    return Header(version, metadata, {tensor[0]: TensorInfo(*tensor) for tensor in tensors}, data_start)


def _content(path: Path) -> bytes | None:
    """What was written, if all of it is there: magic, CRC-32, content."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    front, content = data[:12], data[12:]
    return content if front == MAGIC + zlib.crc32(content).to_bytes(4, "little") else None


def _write(path: Path, of: str, header: Header) -> None:
    tensors = [(info.name, info.shape, info.type, info.offset, info.nbytes) for info in header.tensors.values()]
    content = marshal.dumps((of, header.version, header.metadata, tensors, header.data_start), _OLDEST_MARSHAL)
    front = MAGIC + zlib.crc32(content).to_bytes(4, "little")
    write_whole(path, lambda file: file.write(front + content))
