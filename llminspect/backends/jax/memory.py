"""How much memory a run takes on each device: said before it starts, and refused where there is not as much."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.backends.jax.mesh import partition
from llminspect.errors import UserError
from llminspect.model.spec import expanded_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from llminspect.model.config import Sizes
    from llminspect.model.spec import TensorSpec


LESS = "cut the model over more devices with --mesh, take --dtype bfloat16, or look at fewer layers"


def array_bytes(spec: TensorSpec, sizes: Sizes, dtype: str, parts: int = 1) -> int:
    """Bytes of an array on each device, where the model is cut into so many parts."""
    whole = int(np.prod(expanded_shape(spec.shape, sizes))) * jnp.dtype(dtype).itemsize
    return whole // parts if "model" in partition(spec.shape) else whole


def weights_bytes(specs: Iterable[TensorSpec], sizes: Sizes, dtype: str, parts: int = 1) -> int:
    """Bytes of all weights on each device."""
    return sum(array_bytes(spec, sizes, dtype, parts) for spec in specs)


def cache_bytes(sizes: Sizes, tokens: int, parts: int = 1) -> int:
    """Bytes of the cache on each device: a key and a value of E numbers for each layer, key/value head and token."""
    return 2 * 4 * sizes.L * sizes.K * sizes.E * tokens // parts


def room_of(device: Any) -> int | None:
    """Bytes that a device has in all; None where nobody says."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    if device.platform == "cpu" and hasattr(os, "sysconf"):  # Virtual devices share one memory.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()
    return None


def size(count: int) -> str:
    """Bytes for a person: 134.5 MB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1000:,.1f} kB"


@dataclass
class MemoryBudget:
    """The memory of one device: what the weights take, and the peak of the passes."""

    weights: int
    room: int | None
    note: Callable[[str], None] = field(default=lambda text: None)
    working: int = 0
    """What a pass was said to need beside the weights."""

    def check_weights(self) -> None:
        """Raise UserError where not even the weights fit."""
        self._refuse(self.weights, "the weights take")

    def check(self, compiled: Any, cache: int, kept: int) -> None:
        """Say the peak of a compiled pass before it runs, if it is the largest so far. Raise UserError if it does not
        fit."""
        analysis = compiled.memory_analysis()
        working = 0 if analysis is None else int(analysis.temp_size_in_bytes)
        peak = self.weights + 2 * cache + kept + working  # The cache as it was and as it will be.
        if peak > self.weights + self.working:
            self.working = peak - self.weights
            self.note(
                f"a pass takes up to {size(peak)} a device: weights {size(self.weights)}, cache {size(2 * cache)}, "
                f"what is looked at {size(kept)}, working {size(working)}"
            )
        self._refuse(peak, "this pass takes")

    def _refuse(self, needed: int, what: str) -> None:
        if self.room is not None and needed > self.room:
            raise UserError(f"{what} {size(needed)} a device, and there are {size(self.room)}", LESS)

    def exhausted(self) -> UserError:
        """What to say where a device had less than it said, or others took it."""
        return UserError(
            f"a device has no memory left: weights {size(self.weights)}, {size(self.working)} beside", LESS
        )
