"""A file of weights that is mapped into memory: what GGUF and safetensors files do the same way."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, Self

from llminspect.errors import ModelError
from llminspect.files.quant_types import BY_NAME
from llminspect.files.weights import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from mmap import mmap
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from llminspect.files.weights import TensorInfo


class MappedFile:
    """Tensors by name, decoded when asked for: a `WeightFile`."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    _map: mmap

    def array(self, name: str) -> NDArray[np.float32]:
        """The whole tensor in float32; a read-only view of the file where it holds float32."""
        info = self._info(name)
        return self._decoded(info, info.offset, info.nbytes).reshape(info.shape)

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the first dimension, float32; only their bytes are read."""
        info = self._info(name)
        if not info.shape or not 0 <= start <= stop <= info.shape[0]:
            raise IndexError(f"rows {start} to {stop} of {name}, which has shape {info.shape}")
        if len(info.shape) == 1 and BY_NAME[info.type].weights > 1:  # A row is a number, and a block holds many.
            return self.array(name)[start:stop]
        row_bytes = info.nbytes // max(info.shape[0], 1)
        part = self._decoded(info, info.offset + start * row_bytes, (stop - start) * row_bytes)
        return part.reshape(stop - start, *info.shape[1:])

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a matrix as they lie in the file, [rows, bytes of a row]; a read-only view of it."""
        info = self._info(name)
        return self._bytes(info.offset, info.nbytes).reshape(info.shape[0], -1)

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

    def _bytes(self, offset: int, nbytes: int) -> NDArray[np.uint8]:
        import numpy as np

        return np.frombuffer(self._map, np.uint8, nbytes, offset)

    def _decoded(self, info: TensorInfo, offset: int, nbytes: int) -> NDArray[np.float32]:
        from llminspect.files.quants import dequantize

        return dequantize(info.type, self._bytes(offset, nbytes))

    def _refuse(self, what: str) -> NoReturn:
        raise ModelError(
            f"{shown(self.path.name)} {what}", "fetch the file again, or check it where it came from"
        ) from None
