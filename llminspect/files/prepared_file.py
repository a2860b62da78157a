"""The file of prepared weights: how it is laid out, written, mapped, and checked number by number."""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from llminspect.core.dataclass import dataclass
from llminspect.errors import reader
from llminspect.files.home import Progress, cannot_write, replacing
from llminspect.files.weights import all_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray


MAGIC = b"LLMINSP1"
"""The digit goes up when the layout of this file changes."""
_FRONT = struct.Struct("<8sIII")  # Magic, length of the header, its CRC-32, nothing.
ALIGNMENT = 64
"""Of each array: a cache line, and the widest vector register."""
PAGE, WORKERS = 4096, 2


@dataclass(frozen=True)
class Planned:
    """An array to prepare: its name in the core, its shape, and how to make it (any float type; cast to float32)."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], NDArray[np.float32]]

    @property
    def nbytes(self) -> int:
        return 4 * math.prod(self.shape)


class Arrays(dict[str, "NDArray[np.float32]"]):
    """Arrays by name, and which of them hold NaN or infinity."""

    not_finite: Sequence[str] = ()


class CannotKeep(Exception):
    """The cache did not take the file; in words for the notice."""


def mapped(path: Path, plan: Sequence[Planned]) -> Arrays | None:
    """The arrays of a prepared file, or None if it is missing, not whole, or not what is planned."""
    header, arrays = _read(path) or ({}, Arrays())
    found = [(name, array.shape) for name, array in arrays.items()]
    return arrays if header and found == [(planned.name, planned.shape) for planned in plan] else None


def damaged_arrays(path: Path) -> list[str] | None:
    """The names of the arrays in a prepared file whose numbers are not those written; None if it is not whole."""
    header, arrays = _read(path) or ({}, Arrays())
    return [name for name, _, _, total in header["arrays"] if _sum(arrays[name]) != total] if header else None


def source_of(path: Path) -> dict[str, Any] | None:
    """What a prepared file says it was made from; None if it is not whole, or says nothing."""
    header, _ = _read(path) or ({}, Arrays())
    source = header.get("source")
    return source if isinstance(source, dict) else None


def differing_arrays(path: Path, plan: Sequence[Planned]) -> list[str]:
    """The names of the arrays in a prepared file that are not, bit for bit, what is read for them now."""
    _, arrays = _read(path) or ({}, Arrays())
    reads = {planned.name: planned.read for planned in plan}
    return [name for name, array in arrays.items() if name not in reads or not _same(array, reads[name]())]


def _same(array: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    other = np.ascontiguousarray(other, np.float32)
    return array.shape == other.shape and bool(
        np.array_equal(array.reshape(-1).view(np.uint32), other.reshape(-1).view(np.uint32))
    )


@reader("the file of prepared weights")
def _read(path: Path) -> tuple[dict[str, Any], Arrays] | None:
    """The header and the arrays; None if the file is missing or not whole, whatever is in it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size < PAGE:
                return None
            whole = mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_READ)
        magic, length, checksum, _ = _FRONT.unpack_from(whole)
        encoded = whole[_FRONT.size : _FRONT.size + length]
        if magic != MAGIC or len(encoded) != length or zlib.crc32(encoded) != checksum:
            return None
        header: dict[str, Any] = json.loads(encoded)
        if "source" not in header:  # Made before that was noted, under a hash that nobody had compared.
            return None
        if type(header["finished"]) is not int:  # Ten letters would become ten billion.
            return None
        if (header["size"], header["finished"] * 10**9) != (status.st_size, status.st_mtime_ns):
            return None
        arrays = Arrays()
        for name, shape, offset, _ in header["arrays"]:
            wholes = all(type(length) is int and length >= 0 for length in shape)
            if offset % ALIGNMENT or offset < _FRONT.size or not wholes:  # It cannot lie there.
                return None
            arrays[name] = np.frombuffer(whole, np.float32, math.prod(shape), offset).reshape(shape)
        arrays.not_finite = header["not_finite"]
        ", ".join(arrays.not_finite)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError, MemoryError):
        return None
    return header, arrays


def _sum(array: NDArray[np.float32]) -> str:
    """The sum of all bit patterns, as 16 digits: what a memory reads as fast as it can, and any flipped bit changes."""
    return f"{int(array.reshape(-1).view(np.uint32).sum(dtype=np.uint64)):016x}"


# -- Making ------------------------------------------------------------------------------------------------------------


def write_prepared(
    path: Path,
    plan: Sequence[Planned],
    progress: Progress | None,
    source: Mapping[str, Any] | None = None,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Make the arrays and the file; `check()` is called when all are made, before the file takes its place. CannotKeep:
    the cache does not take it. Whatever `read` or `check` raises."""
    finished = int(time.time()) // 2 * 2 - 2  # In the past, so no later change can have it; even, as FAT keeps no odd.
    arrays: list[list[Any]] = [[planned.name, planned.shape, 0, "0" * 16] for planned in plan]
    not_finite = [planned.name for planned in plan]  # At its longest, for the room that the header takes.
    header = {"size": 0, "finished": finished, "arrays": arrays, "not_finite": not_finite, "source": source}
    digits_of_offsets = 20 * (len(plan) + 1)
    position = _rounded(_FRONT.size + len(json.dumps(header)) + digits_of_offsets, PAGE)
    not_finite.clear()
    for entry, planned in zip(arrays, plan, strict=True):
        entry[2] = position
        position = _rounded(position + planned.nbytes, ALIGNMENT)
    header["size"] = size = _rounded(position, PAGE)
    if shutil.disk_usage(path.parent).free < size:
        raise CannotKeep(f"{path.parent} has room for less than the {size / 1e6:,.0f} MB that it takes")
    try:
        with replacing(path, (finished, finished), private=True) as file:
            file.truncate(size)
            put = _writer_at(file)

            def keep(index: int, array: NDArray[np.float32]) -> None:
                put(array.reshape(-1).view(np.uint8).data, arrays[index][2])
                arrays[index][3] = _sum(array)
                if not all_finite(array):
                    not_finite.append(plan[index].name)

            each_array(plan, keep, progress)
            check()
            not_finite.sort()  # The threads finish as they do.
            encoded = json.dumps(header).encode()
            put(memoryview(_FRONT.pack(MAGIC, len(encoded), zlib.crc32(encoded), 0) + encoded), 0)
    except OSError as error:
        raise CannotKeep(cannot_write(path, error).message) from None


def _writer_at(file: IO[bytes]) -> Callable[[memoryview, int], None]:
    """A function that writes bytes at a place of the file, from any thread."""
    if hasattr(os, "pwrite"):
        descriptor = file.fileno()

        def write(data: memoryview, offset: int) -> None:
            while data:
                done = os.pwrite(descriptor, data, offset)
                data, offset = data[done:], offset + done
    else:  # Windows
        lock = threading.Lock()

        def write(data: memoryview, offset: int) -> None:
            with lock:
                file.seek(offset)
                file.write(data)
                file.flush()

    return write


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def each_array(
    plan: Sequence[Planned], use: Callable[[int, NDArray[np.float32]], None], progress: Progress | None
) -> None:
    """Make each planned array and hand it on, in threads (numpy computes outside the interpreter's lock)."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    total, done = sum(planned.nbytes for planned in plan), 0

    def work(index: int) -> int:
        planned = plan[index]
        array = np.ascontiguousarray(planned.read(), np.float32)
        if array.shape != planned.shape:
            raise ValueError(f"{planned.name} was planned as {planned.shape} and read as {array.shape}")
        use(index, array)
        return planned.nbytes

    largest_first = sorted(range(len(plan)), key=lambda index: -plan[index].nbytes)
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for future in as_completed([pool.submit(work, index) for index in largest_first]):
            done += future.result()
            if progress is not None:
                progress("prepare", done, total)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
