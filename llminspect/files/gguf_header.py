"""The header of a GGUF file: metadata (config and tokenizer) and where each tensor lies.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The file comes from a stranger, so each count,
length and offset is compared with the size of the file before anything is allocated for it: what is built is never
more than a small multiple of the bytes that are really there.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from llminspect.files.quant_types import BY_NUMBER
from llminspect.files.weights import TensorInfo

if TYPE_CHECKING:
    from mmap import mmap

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
MOST_DIMENSIONS = 4
"""GGML_MAX_DIMS."""
DEEPEST_ARRAY = 4
MOST_ELEMENTS = 1 << 23
"""Of all arrays in a header together. The largest vocabularies, with scores, kinds and merges, have 1.3 million."""
MOST_INNER_ARRAYS = 1 << 16
"""Together too. Nothing published has arrays in arrays; each costs far more than its twelve bytes."""
LONGEST_KEY = 65_535
"""The format's own limit for a metadata key."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


class Header(NamedTuple):
    """What stands in front of the weights."""

    version: int
    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]
    data_start: int


def read_header(buffer: mmap | bytes, size: int, refuse: Callable[..., NoReturn]) -> Header:
    """Parse the header of a GGUF file of `size` bytes. `refuse(what was wrong)` raises with the name of the file."""
    if size < 24:
        refuse("is too short to hold a header")
    version, tensor_count, metadata_count = struct.unpack_from("<IQQ", buffer, 4)
    if version not in (2, 3):
        if version & 0xFFFF == 0:
            refuse("is in big-endian byte order, which is not supported")
        refuse(f"is GGUF version {version}; versions 2 and 3 can be read")
    reader = _Reader(buffer, size, refuse)
    # The least that an entry can take up bounds how many there can be.
    reader.check_count(metadata_count, 13, "metadata entries")
    reader.check_count(tensor_count, 24, "tensors")
    metadata: dict[str, Any] = {}
    for _ in range(metadata_count):
        key = reader.key(metadata)
        metadata[key] = reader.value(reader.number("<I"), key)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        refuse(f"has general.alignment {alignment!r:.40}, which is no power of two up to 2^20")
    infos = [reader.tensor() for _ in range(tensor_count)]
    if reader.not_read:
        gone = reader.not_read.keys() <= REMOVED.keys()
        refuse(f"has {_kinds(reader.not_read)}", *([TAKEN_OUT] if gone else []))
    data_start = -(-reader.position // alignment) * alignment
    tensors = _place(infos, data_start, alignment, size, refuse)
    return Header(version, metadata, tensors, data_start)


REMOVED = {4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8"}
REMOVED |= {36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8"}
"""Types that ggml has no longer, by their numbers in `ggml.h`."""
TAKEN_OUT = "ggml does not have it any more: take another file of the model, such as Q4_0 or Q4_K_M"


def _kinds(not_read: Mapping[int, Sequence[str]]) -> str:
    """How many tensors are of each type that is not read, and the first of them: `3 tensors of the type Q4_0_4_4, …`"""
    found = []
    for number, names in not_read.items():
        many = "a tensor" if len(names) == 1 else f"{len(names):,} tensors"
        kind = f"of the type {REMOVED[number]}" if number in REMOVED else f"of an unknown type, number {number}"
        found.append(f"{many} {kind} ({names[0]!r:.100}{'' if len(names) == 1 else ' and others'})")
    return ", ".join(found[:3]) + (f" and {len(found) - 3} types more" if len(found) > 3 else "")


def _place(
    infos: list[TensorInfo], data_start: int, alignment: int, size: int, refuse: Callable[[str], NoReturn]
) -> dict[str, TensorInfo]:
    """The tensors, whose offsets count from `data_start`, by name; no two on the same bytes and none beyond the end."""
    tensors: dict[str, TensorInfo] = {}
    for info in infos:
        name = f"tensor {info.name!r:.100}"
        if info.name in tensors:
            refuse(f"has {name} twice")
        if info.offset % alignment:
            refuse(f"has {name} at an offset that is no multiple of {alignment}")
        start = data_start + info.offset
        if start + info.nbytes > size:
            refuse(f"is cut short: {name} ends at byte {start + info.nbytes:,} and the file at {size:,}")
        tensors[info.name] = info._replace(offset=start)
    in_order = sorted(tensors.values(), key=lambda tensor: tensor.offset)
    for before, after in itertools.pairwise(in_order):
        if before.offset + before.nbytes > after.offset:
            refuse(f"has tensors {before.name!r:.100} and {after.name!r:.100} on the same bytes")
    return tensors


class _Reader:
    """Walks through the header and never past the end of the file."""

    def __init__(self, buffer: mmap | bytes, size: int, refuse: Callable[[str], NoReturn]) -> None:
        self.buffer, self.size, self.refuse = buffer, size, refuse
        self.position, self.elements, self.inner_arrays = 24, 0, 0
        self.not_read: dict[int, list[str]] = {}
        """The tensors of types that are not known, by the number of the type."""

    def check_count(self, count: int, smallest: int, what: str) -> None:
        if count * smallest > self.size - self.position:
            self.refuse(f"is cut short or broken: it says {count:,} {what}, more than it has room for")

    def take(self, count: int) -> int:
        """The position of the next `count` bytes, after which we then stand."""
        start = self.position
        if count > self.size - start:
            self.refuse(f"is cut short: its header goes on beyond byte {self.size:,}, where the file ends")
        self.position = start + count
        return start

    def number(self, layout: str) -> int:
        (number,) = struct.unpack_from(layout, self.buffer, self.take(struct.calcsize(layout)))
        return int(number)

    def text(self, errors: str) -> str:
        length = self.number("<Q")
        start = self.take(length)
        return str(self.buffer[start : start + length], "utf-8", errors)

    def key(self, metadata: dict[str, Any]) -> str:
        key = self.text("replace")
        if not key or len(key) > LONGEST_KEY:
            self.refuse("has a metadata key that is empty or too long")
        if key in metadata:
            self.refuse(f"has the metadata key {key!r:.100} twice")
        return key

    def value(self, kind: int, key: str) -> Any:
        """A metadata value. Bytes of a single string that are not UTF-8 become U+FFFD."""
        if kind == _STRING:
            return self.text("replace")
        if kind == _ARRAY:
            return self.array(key, 0)
        if kind not in _SCALARS:
            self.refuse(f"has metadata {key!r:.100} of an unknown type, number {kind}")
        layout = "<" + _SCALARS[kind]
        return struct.unpack_from(layout, self.buffer, self.take(struct.calcsize(layout)))[0]

    def array(self, key: str, depth: int) -> list[Any]:
        kind, count = self.number("<I"), self.number("<Q")
        self.elements += count
        if kind == _STRING:
            self.check_count(count, 8, f"strings in {key!r:.100}")
            self.check_elements(key)
            return self.strings(count)
        if kind == _ARRAY:
            self.check_count(count, 12, f"arrays in {key!r:.100}")
            self.check_elements(key)
            if depth + 1 >= DEEPEST_ARRAY:
                self.refuse(f"has arrays more than {DEEPEST_ARRAY} deep in {key!r:.100}")
            self.inner_arrays += count
            if self.inner_arrays > MOST_INNER_ARRAYS:
                self.refuse(f"has {self.inner_arrays:,} arrays in arrays up to {key!r:.100}")
            return [self.array(key, depth + 1) for _ in range(count)]
        if kind not in _SCALARS:
            self.refuse(f"has an array {key!r:.100} of an unknown type, number {kind}")
        layout = _SCALARS[kind]
        start = self.take(count * struct.calcsize("<" + layout))
        self.check_elements(key)
        return list(struct.unpack_from(f"<{count}{layout}", self.buffer, start))

    def check_elements(self, key: str) -> None:
        if self.elements > MOST_ELEMENTS:
            self.refuse(f"has arrays of {self.elements:,} elements up to {key!r:.100}; {MOST_ELEMENTS:,} are the most")

    def strings(self, count: int) -> list[str]:
        """A vocabulary or its merges: 100,000 short strings, so one tight loop.

        Bytes that are not UTF-8 stay as lone surrogates (`surrogateescape`), because in a vocabulary they count.
        """
        length_at, buffer, position, size = struct.Struct("<Q").unpack_from, self.buffer, self.position, self.size
        strings: list[str] = []
        append = strings.append
        last_length = size - 8
        for _ in range(count):
            if position > last_length:
                break
            start = position + 8
            position = start + length_at(buffer, position)[0]
            if position > size:
                break
            append(str(buffer[start:position], "utf-8", "surrogateescape"))
        if len(strings) < count:
            self.take(size + 1)
        self.position = position
        return strings

    def tensor(self) -> TensorInfo:
        name = self.text("replace")
        if not name:
            self.refuse("has a tensor without a name")
        dimensions = self.number("<I")
        what = f"tensor {name!r:.100}"
        if dimensions > MOST_DIMENSIONS:
            self.refuse(f"has {what} with {dimensions} dimensions; {MOST_DIMENSIONS} is the most")
        start = self.take(8 * dimensions)
        # The file has the fastest dimension first, numpy has it last.
        shape: tuple[int, ...] = struct.unpack_from(f"<{dimensions}Q", self.buffer, start)[::-1]
        number, offset = self.number("<I"), self.number("<Q")
        if number not in BY_NUMBER:
            self.not_read.setdefault(number, []).append(name)
            return TensorInfo(name, shape, "", offset, 0)
        kind = BY_NUMBER[number]
        if min(shape, default=1) < 1:
            self.refuse(f"has {what} with an empty dimension, shape {list(shape)}")
        if (shape[-1] if shape else 1) % kind.weights:
            self.refuse(f"has {what} of type {kind.name} whose rows are no whole number of blocks of {kind.weights}")
        return TensorInfo(name, shape, kind.name, offset, math.prod(shape) // kind.weights * kind.bytes)
