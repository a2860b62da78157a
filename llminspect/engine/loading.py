"""Weights onto the devices: each process reads the parts that its own devices hold, and no more of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.arch.spec import expanded_shape
from llminspect.engine.memory import array_bytes
from llminspect.engine.mesh import partition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.arch.spec import Sizes, TensorSpec
    from llminspect.core.array import Array
    from llminspect.engine.mesh import Layout

    Read = Callable[[str, tuple[slice, ...]], Array]


def load(
    read: Read,
    specs: Sequence[TensorSpec],
    sizes: Sizes,
    layout: Layout,
    dtype: str = "float32",
    progress: Callable[[str, int, int | None], None] | None = None,
) -> dict[str, Array]:
    """The arrays of `specs` on the devices of the layout, as `dtype`.

    `read(name, index)` gives a part of an array in float32; it is asked for each part that this process holds, once.
    """
    number, arrays, done = jnp.dtype(dtype), {}, 0
    total = sum(array_bytes(spec, sizes, dtype, layout.model) for spec in specs)
    for spec in specs:
        shape = expanded_shape(spec.shape, sizes)
        arrays[spec.name] = _on_devices(read, spec, shape, layout, number)
        done += array_bytes(spec, sizes, dtype, layout.model)
        if progress is not None:
            progress("load", done, total)
    return arrays


def _on_devices(read: Read, spec: TensorSpec, shape: tuple[int, ...], layout: Layout, number: Any) -> Array:
    if layout.mesh is None:
        part = read(spec.name, tuple(slice(0, length) for length in shape))
        whole: Array = jax.device_put(np.asarray(part).astype(number), jax.local_devices()[0])
        return whole
    made: dict[tuple[tuple[int, int], ...], Array] = {}

    def part_of(index: tuple[slice, ...]) -> Array:
        ends = tuple(part.indices(length)[:2] for part, length in zip(index, shape, strict=True))
        if ends not in made:  # Devices along "data" hold the same part.
            made[ends] = np.asarray(read(spec.name, tuple(slice(*pair) for pair in ends))).astype(number)
        return made[ends]

    sharding = layout.sharding(*partition(spec.shape))
    array: Array = jax.make_array_from_callback(shape, sharding, part_of)  # type: ignore[arg-type, assignment]
    jax.block_until_ready(array)
    return array
