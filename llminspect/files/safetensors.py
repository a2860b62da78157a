"""safetensors: one file or several with an index, mapped into memory, widened to float32 when asked for.

The format: https://github.com/huggingface/safetensors#format. Eight bytes say how long the header is, the header is a
JSON object of name to type, shape and place, and after it comes nothing but the numbers. The checks are those of the
`safetensors` package (the oracle in the tests): every byte belongs to exactly one tensor. What it accepts and we do
not: a name that stands twice (it takes the last), an entry written as a list, and shapes that numpy cannot hold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from llminspect.errors import as_json, reader
from llminspect.files.quant_types import SAFETENSORS
from llminspect.files.source import unique_members
from llminspect.files.weights import TensorInfo, WeightFile

LARGEST_HEADER = 100_000_000
"""Bytes; the `safetensors` package's own limit."""


class SafetensorsFile(WeightFile):
    """One open safetensors file. ModelError: not such a file, cut short, or broken, and how."""

    metadata: Mapping[str, str]

    def _check_start(self, start: bytes) -> None:
        if start.startswith(b"version https://git-lfs"):
            self._refuse("is a Git LFS pointer: the weights themselves were not fetched")
        if len(start) < 8:
            self._refuse("is too short to be a safetensors file")

    @reader("the safetensors header")
    def _read_header(self) -> None:
        header, data_start = self._header()
        self.metadata = self._metadata(header.pop("__metadata__", {}))
        self.tensors = self._placed(header, data_start)

    def _header(self) -> tuple[dict[str, Any], int]:
        length = int.from_bytes(self._map[:8], "little")
        if length > LARGEST_HEADER or self._map[8:9] != b"{":
            self._refuse("is not a safetensors file")
        if 8 + length > len(self._map):
            self._refuse("is cut short: its header goes on beyond the end of the file")
        unique = unique_members(lambda: self._refuse("names a tensor or a property twice in its header"))
        try:
            text = str(self._map[8 : 8 + length], "utf-8")
            header = json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
            if "\\ud" in text.lower():  # An escape may have smuggled in half a character.
                json.dumps(header, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            self._refuse("has a header that is not JSON")
        assert isinstance(header, dict)  # It starts with "{".
        return header, 8 + length

    def _metadata(self, metadata: Any) -> dict[str, str]:
        if metadata is None:
            return {}
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            self._refuse("has metadata that is not text")
        return metadata

    def _placed(self, header: dict[str, Any], data_start: int) -> dict[str, TensorInfo]:
        """Each tensor's place; together they fill the file from the header to the end without a gap or an overlap."""
        infos = [self._tensor(name, entry, data_start) for name, entry in header.items()]
        position = data_start
        for info in sorted(infos, key=lambda info: (info.offset, info.nbytes)):
            if info.offset != position:
                self._refuse(f"has a gap or an overlap in front of tensor {info.name!r:.100}")
            position += info.nbytes
        if position > len(self._map):
            self._refuse(f"is cut short: its tensors end at byte {position:,} and the file at {len(self._map):,}")
        if position < len(self._map):
            self._refuse(f"has {len(self._map) - position:,} bytes after its last tensor that belong to none")
        return {info.name: info for info in infos}

    def _tensor(self, name: str, entry: Any, data_start: int) -> TensorInfo:
        if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
            self._refuse(f"lacks the dtype, shape or data_offsets of tensor {name!r:.100}")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in SAFETENSORS:
            self._refuse(f"has tensor {name!r:.100} of an unknown type, {as_json(dtype, 40)}")
        if not (_whole_numbers(shape) and _whole_numbers(offsets) and len(offsets) == 2 and len(shape) <= 64):
            self._refuse(f"has a shape or place for tensor {name!r:.100} that is no list of whole numbers")
        if math.prod(max(length, 1) for length in shape) >= 1 << 60:
            self._refuse(f"has tensor {name!r:.100} of the shape {shape!s:.100}, larger than any memory")
        start, stop = offsets
        kind = SAFETENSORS[dtype]
        bits = math.prod(shape) * 8 * kind.bytes // kind.weights
        if bits % 8 or stop - start != bits // 8:
            self._refuse(f"says that tensor {name!r:.100} takes {stop - start:,} bytes, its shape says {bits // 8:,}")
        return TensorInfo(name, tuple(shape), dtype, data_start + start, stop - start)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)
