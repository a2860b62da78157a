"""A file of weights as the rest of the program sees it: named tensors, whatever the format and the number type.

Nothing here loads numpy: a command that only tokenizes reads a model's header and never its weights.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

Format = Literal["gguf", "huggingface"]
"""A GGUF file, or a folder of `config.json` and safetensors files."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
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


class WeightFile(Protocol):
    """Named tensors of a file, given as float32."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor of the file by name, in the order of the file."""

    def array(self, name: str) -> NDArray[np.float32]:
        """The whole tensor in float32, dequantized or widened where need be.

        A read-only view of the file where it already holds float32.
        """

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` (first dimension); only their bytes are read."""


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
