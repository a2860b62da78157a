"""Devices in a grid, which axis of which array is spread over which axis of it, and what that takes of their memory.

An architecture file states the letters of each array's axes and knows nothing of devices. One table maps letters to
axes of the grid: heads, key/value heads, the shorter vectors that they are made of, the feed-forward width, the
vocabulary and experts are cut over "model", the texts of a batch over "data". Everything else is on every device.
Shoeybi et al. 2019, "Megatron-LM", section 3.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llminspect.backends.jax.settings import AXES
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, UserError
from llminspect.model.config import Sizes
from llminspect.model.spec import TensorSpec, expanded_shape

AXIS_OF = dict.fromkeys("XHKFVZQ", "model")
"""The axis of the mesh that each letter is cut over; letters that are not named are whole on every device."""


def partition(shape: str) -> tuple[str | None, ...]:
    """The axis of the mesh for each axis of an array: "V D" gives ("model", None). An axis of the mesh serves once."""
    found: list[str | None] = []
    for letters in shape.split():
        axis = AXIS_OF.get(letters[0]) if letters.isalpha() else None
        found.append(None if axis in found else axis)
    return tuple(found)


def cut_over_model(sizes: Sizes, specs: Iterable[TensorSpec]) -> dict[str, int]:
    """The letters that are cut over "model", with their sizes."""
    cut: dict[str, int] = {}
    for spec in specs:
        for letters, axis in zip(spec.shape.split(), partition(spec.shape), strict=True):
            if axis is not None:
                cut[letters[0]] = getattr(sizes, letters[0])
    if sizes.K:
        cut["K"] = sizes.K  # Of the cache.
    return cut


def check_divides(cut: Mapping[str, int], mesh: Mapping[str, int], devices: int | None = None) -> None:
    """Raise UsageError where a dimension cannot be cut evenly, naming what could; `devices`: all have to be taken."""
    parts = mesh.get("model", 1)
    wrong = {letter: size for letter, size in cut.items() if size % parts}
    if wrong:
        common = math.gcd(*cut.values())
        would = [str(count) for count in range(1, common + 1) if common % count == 0]
        named = ", ".join(f"{letter} = {size}" for letter, size in wrong.items())
        hint = f"model={' or '.join(would[-6:])} would do" if len(would) > 1 else "only model=1 would do"
        if devices is not None:
            hint += f"; over {devices} devices --mesh {_over_all(common, devices)}"
        raise UsageError(f"--mesh model={parts}: {named} cannot be cut into {parts} equal parts", hint)


def _over_all(common: int, devices: int) -> str:
    """The mesh over all devices whose "model" is as large as it can be where it has to divide `common` as well."""
    model = math.gcd(common, devices)
    sizes = {"data": devices // model, "model": model}
    return ",".join(f"{axis}={size}" for axis, size in sizes.items() if size > 1) or "model=1"


@dataclass(frozen=True)
class Layout:
    """How arrays lie on a mesh of devices."""

    mesh: Mesh | None = None
    """None: one device, nothing is cut."""

    @property
    def model(self) -> int:
        return 1 if self.mesh is None else self.mesh.shape["model"]

    def sharding(self, *axes: str | None) -> NamedSharding | None:
        return None if self.mesh is None else NamedSharding(self.mesh, PartitionSpec(*axes))

    def everywhere(self, arrays: Any) -> Any:
        """The arrays whole on every device: what goes back to the host."""
        if self.mesh is None:
            return arrays
        return jax.lax.with_sharding_constraint(arrays, self.sharding())

    def cache(self, pair: tuple[Array, Array] | None) -> Any:
        """Keys and values [L, K, S, E] of a cache cut by their heads, [L, B, K, S, E] by their texts as well."""
        if self.mesh is None or pair is None:
            return pair
        return jax.lax.with_sharding_constraint(pair, self.sharding(*self._of_cache(pair[0].shape)))

    def cache_parts(self, shape: tuple[int, ...]) -> int:
        """Into how many parts keys or values of that shape are cut."""
        return 1 if self.mesh is None else math.prod(self.mesh.shape[axis] for axis in self._of_cache(shape) if axis)

    def _of_cache(self, shape: tuple[int, ...]) -> tuple[str | None, ...]:
        _, *texts, _, _, _ = shape
        return None, *map(self._of_texts, texts[:1]), *(None for _ in texts[1:]), "model"

    def _of_texts(self, count: int) -> str | None:
        """Several texts are cut over "data" where they divide."""
        return None if self.mesh is None or count % self.mesh.shape["data"] else "data"

    def batch(self, ids_BT: Array) -> Array:
        """Ids of several texts, cut like them."""
        if self.mesh is None or ids_BT.ndim < 2:
            return ids_BT
        cut: Array = jax.lax.with_sharding_constraint(ids_BT, self.sharding(self._of_texts(ids_BT.shape[0])))
        return cut


def make_mesh(wanted: Mapping[str, int] | None, cut: Mapping[str, int] | None = None) -> Mesh | None:
    """A mesh over the devices of all processes; None for one device.

    Raises UsageError where there are not as many, naming a mesh that `cut` would allow.
    """
    devices = jax.devices()
    sizes = {axis: (wanted or {}).get(axis, 1) for axis in AXES}
    count = math.prod(sizes.values())
    if count > len(devices) or (jax.process_count() > 1 and count != len(devices)):
        raise UsageError(
            f"--mesh takes {count} {'device' if count == 1 else 'devices'} and there are {len(devices)} "
            f"({devices[0].platform})",
            f"for example --mesh {_over_all(math.gcd(*(cut or {}).values()), len(devices))}",
        )
    if count == 1:
        return None
    return Mesh(np.array(devices[:count]).reshape(*sizes.values()), AXES)


# -- Memory: said before a run starts, and refused where there is not as much ------------------------------------------


LESS = "cut the model over more devices with --mesh, take --dtype bfloat16, or look at fewer layers"


def array_bytes(spec: TensorSpec, sizes: Sizes, dtype: str, parts: int = 1) -> int:
    """Bytes of an array on each device, where the model is cut into so many parts."""
    whole = int(np.prod(expanded_shape(spec.shape, sizes))) * jnp.dtype(dtype).itemsize
    return whole // parts if "model" in partition(spec.shape) else whole


def weights_bytes(specs: Iterable[TensorSpec], sizes: Sizes, dtype: str, parts: int = 1) -> int:
    """Bytes of all weights on each device."""
    return sum(array_bytes(spec, sizes, dtype, parts) for spec in specs)


def cache_bytes(sizes: Sizes, tokens: int, parts: int = 1) -> int:
    """Bytes of the cache on each device: a key and a value for each layer, key/value head and token."""
    return 4 * sizes.L * sizes.K * (sizes.E + sizes.value_width) * tokens // parts


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
