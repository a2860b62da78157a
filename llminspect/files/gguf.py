"""GGUF files: mapped into memory, the header parsed at once, weights decoded when asked for.

An own reader because a person waits for it: SmolLM2's header with its vocabulary takes 0.03 s here and 4 s with the
`gguf` package, which is the oracle in the tests.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from llminspect.errors import ModelError
from llminspect.files.gguf_header import GGML_TYPES, MAGIC, read_header
from llminspect.files.known_header import known_header
from llminspect.files.weights import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from llminspect.files.weights import TensorInfo

_BLOCKS = {name: (per_block, block_bytes) for name, per_block, block_bytes in GGML_TYPES.values()}


class GGUFFile:
    """An open GGUF file, version 2 or 3: a `WeightFile` with metadata.

    `metadata` holds plain Python values under the file's own keys; lists of strings keep bytes that are not UTF-8 as
    lone surrogates. ModelError: not a GGUF file, cut short, or broken, and how.
    """

    path: Path
    version: int
    metadata: dict[str, Any]
    tensors: Mapping[str, TensorInfo]

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

    def array(self, name: str) -> NDArray[np.float32]:
        """The whole tensor in float32; a read-only view of the file where it holds float32."""
        info = self._info(name)
        return self._decoded(info, info.offset, info.nbytes).reshape(info.shape)

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the first dimension, float32; only their bytes are read."""
        info = self._info(name)
        if not info.shape or not 0 <= start <= stop <= info.shape[0]:
            raise IndexError(f"rows {start} to {stop} of {name}, which has shape {info.shape}")
        row_bytes = info.nbytes // info.shape[0]
        if len(info.shape) == 1 and _BLOCKS[info.type][0] > 1:  # A row is a number, and a block holds many.
            return self.array(name)[start:stop]
        return self._decoded(info, info.offset + start * row_bytes, (stop - start) * row_bytes).reshape(
            stop - start, *info.shape[1:]
        )

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a matrix as they lie in the file, [rows, bytes of a row]; a read-only view of it."""
        import numpy as np

        info = self._info(name)
        return np.frombuffer(self._map, np.uint8, info.nbytes, info.offset).reshape(info.shape[0], -1)

    def close(self) -> None:
        """Let go of the file. Views of it that are still in use keep it mapped until they go."""
        with suppress(BufferError):
            self._map.close()

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _info(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            self._refuse(f"has no tensor {name!r:.100}")
        return self.tensors[name]

    def _decoded(self, info: TensorInfo, offset: int, nbytes: int) -> NDArray[np.float32]:
        import numpy as np

        from llminspect.files.quants import dequantize

        return dequantize(info.type, np.frombuffer(self._map, np.uint8, nbytes, offset))

    def _refuse(self, what: str) -> NoReturn:
        raise ModelError(f"{shown(self.path.name)} {what}", "fetch the file again, or check it where it came from")


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
