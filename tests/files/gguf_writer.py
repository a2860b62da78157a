"""Writes GGUF files for tests, the wrong ones too: every field can be given a value that does not fit the rest."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

SCALARS = {"B": 0, "b": 1, "H": 2, "h": 3, "I": 4, "i": 5, "f": 6, "?": 7, "Q": 10, "q": 11, "d": 12}


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def value(item: Any) -> bytes:
    """A metadata value with its type in front: str, bool, int, float, a list, or (layout, number)."""
    if isinstance(item, str | bytes):
        return struct.pack("<I", 8) + text(item)
    if isinstance(item, tuple):
        layout, number = item
        return struct.pack("<I", SCALARS[layout]) + struct.pack("<" + layout, number)
    if isinstance(item, list):
        parts = [value(part) for part in item] or [value(0)]
        body = b"".join(part[4:] for part in parts) if item else b""
        return struct.pack("<I", 9) + parts[0][:4] + struct.pack("<Q", len(item)) + body
    layout = "?" if isinstance(item, bool) else "I" if isinstance(item, int) else "f"
    return value((layout, item))


@dataclass
class Tensor:
    name: str | bytes
    shape: tuple[int, ...]
    """Row-major."""
    data: bytes
    type: int = 0
    offset: int | None = None


@dataclass
class GGUF:
    metadata: list[tuple[str | bytes, Any]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    version: int = 3
    magic: bytes = b"GGUF"
    alignment: int = 32
    metadata_count: int | None = None
    tensor_count: int | None = None

    def header(self) -> bytes:
        counts = (
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.metadata) if self.metadata_count is None else self.metadata_count,
        )
        parts = [self.magic, struct.pack("<IQQ", self.version, *counts)]
        parts += [text(key) + value(item) for key, item in self.metadata]
        offset = 0
        for tensor in self.tensors:
            place = offset if tensor.offset is None else tensor.offset
            shape = tensor.shape[::-1]
            parts.append(text(tensor.name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            parts.append(struct.pack("<IQ", tensor.type, place))
            offset += -(-len(tensor.data) // self.alignment) * self.alignment
        return b"".join(parts)

    def build(self) -> bytes:
        head = self.header()
        blob = b"".join(self._padded(tensor.data) for tensor in self.tensors)
        return self._padded(head) + blob if self.tensors else head

    def _padded(self, data: bytes) -> bytes:
        return data + b"\0" * (-len(data) % self.alignment)
