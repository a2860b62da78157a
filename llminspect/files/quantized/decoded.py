"""Matrices that are made of several stored tensors: what one is, and a file that has them in place of those."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from llminspect.errors import ModelError
from llminspect.files.quant_types import BY_NAME
from llminspect.files.weights import TensorInfo, WeightFile, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
CHUNK = 1 << 22
"""Weights decoded at once."""


@dataclass(frozen=True, slots=True)
class Made:
    """One matrix."""

    name: str
    shape: tuple[int, ...]
    type: str
    parts: tuple[str, ...]
    """The stored tensors."""
    rows: Callable[[int, int], Floats]
    """Rows `start` to `stop`, float32."""


class DecodedFile(WeightFile):
    """Stored tensors, and in place of those that belong together what they mean."""

    def __init__(self, stored: WeightFile, made: Iterable[Made], passed_over: Collection[str] = ()) -> None:
        self.path, self._stored = stored.path, stored
        self._made = {array.name: array for array in made}
        hidden = {part for array in self._made.values() for part in array.parts} | set(passed_over)
        self.tensors = {name: info for name, info in stored.tensors.items() if name not in hidden}
        for array in self._made.values():
            if array.name in self.tensors:
                raise ModelError(f"tensor {array.name!r:.100} is stored plain and quantized")
            infos = [stored.tensors[part] for part in array.parts]
            size = sum(info.nbytes for info in infos)
            self.tensors[array.name] = TensorInfo(array.name, array.shape, array.type, infos[0].offset, size)

    def decodes(self, name: str) -> bool:
        return name in self._made or self._stored.decodes(name)

    def stores(self, name: str) -> bool:
        return name not in self._made

    def array(self, name: str) -> Floats:
        if name not in self._made:
            return self._stored.array(name)
        shape = self._made[name].shape
        return self.rows(name, 0, shape[0])

    def rows(self, name: str, start: int, stop: int) -> Floats:
        if name not in self._made:
            return self._stored.rows(name, start, stop)
        made = self._made[name]
        if not 0 <= start <= stop <= made.shape[0]:
            raise IndexError(f"rows {start} to {stop} of {name}, which has shape {made.shape}")
        out = np.empty((stop - start, *made.shape[1:]), np.float32)
        step = max(1, CHUNK // max(1, out[:1].size))
        with np.errstate(over="ignore", invalid="ignore"):  # A scale may be NaN or infinite; the reader is told.
            for first in range(start, stop, step):
                last = min(first + step, stop)
                out[first - start : last - start] = made.rows(first, last)
        return out

    def _bytes(self, info: TensorInfo, offset: int, nbytes: int) -> NDArray[np.uint8]:
        return self._stored._bytes(info, offset, nbytes)

    def close(self) -> None:
        """Let go of the file."""
        self._stored.close()


def stored_as(weights: WeightFile, name: str, *types: str, shape: tuple[int | None, ...] | None = None) -> TensorInfo:
    """What the header says of a tensor. ModelError: it is missing, of another type or of another shape."""
    info = weights.tensors.get(name)
    if info is None:
        raise ModelError(f"{shown(weights.path.name)} lacks the tensor {name!r:.100}, without which none is decoded")
    if types and info.type not in types:
        raise ModelError(f"tensor {name!r:.100} is {info.type}, where {' or '.join(types)} is decoded")
    if shape is not None:
        fits = len(shape) == len(info.shape) and all(n in (None, m) for n, m in zip(shape, info.shape, strict=True))
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise ModelError(
                f"tensor {name!r:.100} has the shape {info.shape}, and [{wanted}] is what goes with the rest"
            )
    return info


def numbers(weights: WeightFile, name: str) -> NDArray[Any]:
    """A tensor of whole numbers as it is stored, not widened; a read-only view where it lies straight."""
    info = weights.tensors[name]
    dtype = np.dtype(BY_NAME[info.type].plain or "u1")
    raw = weights.bytes_of(name)
    if raw.ctypes.data % dtype.itemsize:
        raw = raw.copy()
    return raw.view(dtype).reshape(info.shape)


def unpack(words: NDArray[np.uint32], bits: int, count: int) -> Floats:
    """`count` whole numbers of a few bits from each row of words, the lowest first, float32 [rows, count].

    They lie without gaps, so where 32 is no multiple of `bits` some begin in one word and end in the next.
    """
    mask = (1 << bits) - 1
    if 32 % bits == 0:
        shifts = np.arange(0, 32, bits, dtype=np.uint32)
        parts = (words[..., None] >> shifts) & np.uint32(mask)
        return parts.astype(np.float32).reshape(*words.shape[:-1], -1)[..., :count]
    starts = np.arange(count) * bits
    first = starts // 32
    both = words[..., np.minimum(first + 1, words.shape[-1] - 1)].astype(np.uint64) << np.uint64(32) | words[..., first]
    parts_64 = (both >> (starts % 32).astype(np.uint64)) & np.uint64(mask)
    return parts_64.astype(np.float32)


def by_group(out: Floats, groups: NDArray[Any], size: int, scales: Floats, zeros: Floats | None = None) -> Floats:
    """(number − zero) × scale in place; `out` [rows, inputs], the others [rows, groups], and the group of each input.

    Where the groups stand in turn, each `size` inputs long, nothing is gathered.
    """
    width, count = out.shape[1], scales.shape[1]
    in_turn = width == count * size and np.array_equal(groups, np.arange(width) // size)
    view = out.reshape(len(out), count, size) if in_turn else out
    for part, what in ((zeros, np.subtract), (scales, np.multiply)):
        if part is not None:
            what(view, part[..., None] if in_turn else part[:, groups], out=view)
    return view.reshape(out.shape)
