"""The bytes of a tensor to float32, whatever their number type (`quant_types.py`).

Weights are decoded in pieces small enough to stay in the processor's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.errors import ModelError
from llminspect.files.quant_types import BY_NAME, TYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_WEIGHTS = 1 << 16
"""Weights decoded at once: 256 KiB of float32, which a core's own cache holds."""
DECODABLE = frozenset(kind.name for kind in TYPES if kind.plain or kind.decode)
"""The types that `dequantize` decodes."""


def dequantize(type_name: str, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decode the bytes of a tensor.

    `raw` is uint8 [bytes], a whole number of blocks; the result is float32 [weights], a view of `raw` where that
    already is float32. ModelError: a type with no decoder here.
    """
    if type_name not in DECODABLE:
        raise ModelError(
            f"weights of type {type_name} cannot be read", "types that can: " + ", ".join(sorted(DECODABLE))
        )
    kind = BY_NAME[type_name]
    raw = raw.reshape(-1)
    if kind.plain is not None:
        return _widened(raw, np.dtype(kind.plain))
    assert kind.decode is not None
    blocks = raw.reshape(-1, kind.bytes)
    by_block = np.empty((len(blocks), kind.weights), np.float32)
    step = CHUNK_WEIGHTS // kind.weights
    with np.errstate(invalid="ignore", over="ignore"):  # A scale may be NaN or infinite; that is for the reader to see.
        for start in range(0, len(blocks), step):
            kind.decode(blocks[start : start + step], by_block[start : start + step])
    return by_block.reshape(-1)


def _widened(raw: NDArray[np.uint8], dtype: np.dtype[np.generic]) -> NDArray[np.float32]:
    if raw.ctypes.data % dtype.itemsize:
        raw = raw.copy()  # Numbers that do not lie where the processor wants them: copied once, fast ever after.
    with np.errstate(over="ignore"):  # A float64 beyond float32 becomes infinity, of which the reader is told.
        return raw.view(dtype).astype(np.float32, copy=False)
