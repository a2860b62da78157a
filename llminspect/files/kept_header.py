"""A parsed GGUF header as it is kept: JSON, and the long lists of a vocabulary in a form that is read in one stroke.

Strings stand joined in one text, numbers as their bytes, and the JSON says where. So a vocabulary of 100,000 tokens is
back in a few milliseconds, and whatever the bytes are, reading them takes time and memory in proportion to their
number, and gives values of JSON or nothing. What is read is looked at like a stranger's: a copy that could not have
been written for this file counts as none.
"""

from __future__ import annotations

import json
import math
import zlib
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llminspect.errors import reader
from llminspect.files.quant_types import BY_NAME
from llminspect.files.weights import TensorInfo

if TYPE_CHECKING:
    from llminspect.files.gguf_header import Header

MAGIC = b"LLMINSH2"
"""Of a kept header; the digit goes up when what is kept changes."""
LARGEST = 1 << 28
"""Bytes of a copy that are read."""
LONG = 256
"""Elements of a list from which on it does not stand in the JSON."""
_SEPARATORS = "\0\x01\x1e\x1f\ue000"
_LARGEST_INTEGER = 1 << 63


def packed(state: str, header: Header) -> bytes:
    """What to write for the header of a file in that `state`."""
    pieces: list[bytes] = []
    metadata = {key: _packed(value, pieces) for key, value in header.metadata.items()}
    tensors = [[info.name, info.shape, info.type, info.offset, info.nbytes] for info in header.tensors.values()]
    text = json.dumps({"of": state, "version": header.version, "metadata": metadata, "tensors": tensors}).encode()
    content = len(text).to_bytes(4, "little") + text + b"".join(pieces)
    return MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


def _packed(value: Any, pieces: list[bytes]) -> Any:
    """The value for the JSON: a list of one value; of a long list the kind and the length of its bytes in `pieces`."""
    if not isinstance(value, list) or len(value) < LONG:
        return [value]
    if all(type(item) is str for item in value):
        separator = next((mark for mark in _SEPARATORS if not any(mark in item for item in value)), None)
        if separator is None:
            return [value]
        kind, data = separator, separator.join(value).encode("utf-8", "surrogatepass")
    elif all(type(item) is int and -_LARGEST_INTEGER <= item < _LARGEST_INTEGER for item in value):
        kind, data = "q", array("q", value).tobytes()
    elif all(type(item) is float for item in value):
        kind, data = "d", array("d", value).tobytes()
    else:
        return [value]
    pieces.append(data)
    return [kind, len(data)]


@reader("the remembered header")
def unpacked(content: bytes, state: str, size: int) -> tuple[int, dict[str, Any], dict[str, TensorInfo]] | None:
    """Version, metadata and tensors of the file of `size` bytes in that `state`; None where this is no copy of them."""
    try:
        length = int.from_bytes(content[:4], "little")
        kept = json.loads(content[4 : 4 + length])
        if kept["of"] != state or type(kept["version"]) is not int:
            return None
        position, metadata = 4 + length, dict[str, Any]()
        for key, value in kept["metadata"].items():
            if len(value) == 1:
                metadata[key] = value[0]
                continue
            kind, count = value
            if type(count) is not int or not 0 <= count <= len(content) - position:
                return None
            data = content[position : position + count]
            numbers = kind in ("q", "d")
            metadata[key] = array(kind, data).tolist() if numbers else data.decode("utf-8", "surrogatepass").split(kind)
            position += count
        tensors = dict[str, TensorInfo]()
        for name, shape, kind, offset, nbytes in kept["tensors"]:
            wholes = all(type(number) is int and number >= 0 for number in (*shape, offset, nbytes))
            if not wholes or type(name) is not str or kind not in BY_NAME or offset + nbytes > size:
                return None
            if math.prod(shape) // BY_NAME[kind].weights * BY_NAME[kind].bytes != nbytes:
                return None
            tensors[name] = TensorInfo(name, tuple(shape), kind, offset, nbytes)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
        return None
    return (kept["version"], metadata, tensors) if position == len(content) else None


def whole_content(path: Path) -> bytes | None:
    """What was written after the front, if all of it is there."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1) if path.stat().st_size <= LARGEST else b""
    except OSError:
        return None
    front, content = data[: len(MAGIC) + 4], memoryview(data)[len(MAGIC) + 4 :]
    return bytes(content) if front == MAGIC + zlib.crc32(content).to_bytes(4, "little") else None
