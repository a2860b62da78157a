"""A file of weights as the rest of the program sees it: named tensors, whatever the format and the number type.

numpy is loaded by what decodes alone: a command that only tokenizes reads a model's header and never its weights.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, NoReturn, Self

from llminspect.errors import ModelError
from llminspect.files.quant_types import BY_NAME, TYPES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Format = Literal["gguf", "huggingface"]
"""A GGUF file, or a folder of `config.json` and safetensors files."""
CHUNK_WEIGHTS = 1 << 16
"""Weights decoded at once: 256 KiB of float32, which a core's own cache holds."""
DECODABLE = frozenset(kind.name for kind in TYPES if kind.plain or kind.decode)
"""The types that `dequantize` decodes."""


class TensorInfo(NamedTuple):
    """One tensor of a file: what its header says."""

    name: str
    shape: tuple[int, ...]
    """Row-major, as numpy has it: the last dimension is the one that lies together in the file."""
    type: str
    """The name of its number type: `F32`, `BF16`, `Q4_1` …"""
    offset: int
    """In bytes from the start of the file."""
    nbytes: int

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class WeightFile:
    """A GGUF or safetensors file, mapped into memory: named tensors, decoded when asked for."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    """Every tensor of the file by name, in the order of the file."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            with open_plain(self.path) as file:
                self._check_start(file.read(64))
                self._map = mmap.mmap(file.fileno(), os.fstat(file.fileno()).st_size, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ModelError(f"cannot open {shown(self.path)}: {error.strerror or error}") from None
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _check_start(self, start: bytes) -> None:
        """Raise ModelError where no file of this format begins so; of a short file these are all bytes."""

    def _read_header(self) -> None:
        """Find the tensors in what is mapped. ModelError: broken, and how."""

    def array(self, name: str) -> NDArray[np.float32]:
        """The whole tensor in float32, dequantized or widened where need be.

        A read-only view of the file where it already holds float32.
        """
        info = self._info(name)
        return dequantize(info.type, self._bytes(info, info.offset, info.nbytes)).reshape(info.shape)

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the first dimension, float32; only their bytes are read."""
        info = self._info(name)
        if not info.shape or not 0 <= start <= stop <= info.shape[0]:
            raise IndexError(f"rows {start} to {stop} of {name}, which has shape {info.shape}")
        if len(info.shape) == 1 and BY_NAME[info.type].weights > 1:  # A row is a number, and a block holds many.
            return self.array(name)[start:stop]
        row_bytes = info.nbytes // max(info.shape[0], 1)
        part = self._bytes(info, info.offset + start * row_bytes, (stop - start) * row_bytes)
        return dequantize(info.type, part).reshape(stop - start, *info.shape[1:])

    def decodes(self, name: str) -> bool:
        """Whether the tensor is of a type that can be read."""
        return self.tensors[name].type in DECODABLE

    def stores(self, name: str) -> bool:
        """Whether the tensor lies in the file as it is named: of several stored ones that are decoded none does."""
        return True

    def bytes_of(self, name: str) -> NDArray[np.uint8]:
        """All bytes of a tensor as they lie in the file, a read-only view of it."""
        info = self._info(name)
        return self._bytes(info, info.offset, info.nbytes)

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a matrix as they lie in the file, [rows, bytes of a row]; a read-only view of it."""
        info = self._info(name)
        return self._bytes(info, info.offset, info.nbytes).reshape(info.shape[0], -1)

    def close(self) -> None:
        """Let go of the file. Views of it that are still in use keep it mapped until they go."""
        with suppress(BufferError):
            self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _info(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            self._refuse(f"has no tensor {name!r:.100}")
        return self.tensors[name]

    def _bytes(self, info: TensorInfo, offset: int, nbytes: int) -> NDArray[np.uint8]:
        import numpy as np

        return np.frombuffer(self._map, np.uint8, nbytes, offset)

    def _refuse(self, what: str, hint: str = "fetch the file again, or check it where it came from") -> NoReturn:
        raise ModelError(f"{shown(self.path.name)} {what}", hint) from None


class SeveralFiles(WeightFile):
    """Several files that together hold a model's tensors, each with those that are taken from it."""

    def __init__(self, path: Path, files: Sequence[tuple[WeightFile, Iterable[str]]]) -> None:
        self.path, self._files = path, [file for file, _ in files]
        self._places: dict[str, WeightFile] = {}
        for file, names in files:
            for name in names:
                if name in self._places:
                    first, second = (shown(each.path.name) for each in (self._places[name], file))
                    raise ModelError(f"tensor {name!r:.100} is in {first} and in {second}")
                self._places[name] = file
        self.tensors = {name: file.tensors[name] for name, file in self._places.items()}

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()

    def _bytes(self, info: TensorInfo, offset: int, nbytes: int) -> NDArray[np.uint8]:
        return self._places[info.name]._bytes(info, offset, nbytes)


def dequantize(type_name: str, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decode the bytes of a tensor.

    `raw` is uint8 [bytes], a whole number of blocks; the result is float32 [weights], a view of `raw` where that
    already is float32. ModelError: a type with no decoder here.
    """
    if type_name not in DECODABLE:
        raise ModelError(
            f"weights of type {type_name} cannot be read", "types that can: " + ", ".join(sorted(DECODABLE))
        )
    import numpy as np

    kind = BY_NAME[type_name]
    raw = raw.reshape(-1)
    if kind.plain is not None:
        dtype = np.dtype(kind.plain)
        if raw.ctypes.data % dtype.itemsize:
            raw = raw.copy()  # Numbers that do not lie where the processor wants them: copied once, fast ever after.
        with np.errstate(over="ignore"):  # A float64 beyond float32 becomes infinity, of which the reader is told.
            return raw.view(dtype).astype(np.float32, copy=False)
    assert kind.decode is not None
    blocks = raw.reshape(-1, kind.bytes)
    by_block = np.empty((len(blocks), kind.weights), np.float32)
    step = CHUNK_WEIGHTS // kind.weights
    with np.errstate(invalid="ignore", over="ignore"):  # A scale may be NaN or infinite; that is for the reader to see.
        for start in range(0, len(blocks), step):
            kind.decode(blocks[start : start + step], by_block[start : start + step])
    return by_block.reshape(-1)


def weight_types(tensors: Mapping[str, TensorInfo]) -> dict[str, int]:
    """How many tensors of each number type there are, the most frequent first: `{"Q4_1": 210, "F32": 61}`."""
    return dict(Counter(tensor.type for tensor in tensors.values()).most_common())


def shown(name: object) -> str:
    """A file's name as it can stand in a message: quoted and escaped if it holds anything that cannot be seen."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def all_finite(array: NDArray[np.float32]) -> bool:
    """Whether an array holds neither NaN nor infinity: its sum shows it, unless that alone grew too large."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def open_plain(path: Path | str) -> IO[bytes]:
    """The file, open for reading as bytes. OSError as the system raises it, and for what is no plain file."""
    # Without waiting for who writes into a pipe.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is a pipe or a device, and no file")
