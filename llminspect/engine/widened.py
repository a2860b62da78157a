"""Arrays that are kept small and computed with in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax.numpy as jnp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.core.array import Array


class Widened(Mapping[str, "Array"]):
    """Arrays as float32, whatever they are kept as: kept small, computed with in full."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name].astype(jnp.float32)

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)
