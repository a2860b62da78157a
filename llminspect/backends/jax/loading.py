"""Weights onto the devices: each process reads the parts that its own devices hold, and no more of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.backends.jax.memory import array_bytes
from llminspect.backends.jax.mesh import partition
from llminspect.backends.jax.widened import is_pile, piled
from llminspect.model.spec import expanded_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.backends.jax.mesh import Layout
    from llminspect.core.array import Array
    from llminspect.model.config import Sizes
    from llminspect.model.spec import TensorSpec

    Read = Callable[[str, tuple[slice, ...]], Array]


def load(
    read: Read,
    specs: Sequence[TensorSpec],
    sizes: Sizes,
    layout: Layout,
    dtype: str = "float32",
    progress: Callable[[str, int, int | None], None] | None = None,
) -> dict[str, Array]:
    """The arrays of `specs` on the devices of the layout as `dtype`, those of layers of one kind piled up.

    `read(name, index)` gives a part of an array in float32; it is asked for each part that this process holds, once.
    """
    number, arrays, done = jnp.dtype(dtype), {}, 0
    total = sum(array_bytes(spec, sizes, dtype, layout.model) for spec in specs)
    for name, pile in piled(specs).items():
        arrays[name] = _on_devices(read, pile, is_pile(name), sizes, layout, number)
        done += sum(array_bytes(spec, sizes, dtype, layout.model) for spec in pile)
        if progress is not None:
            progress("load", done, total)
    return arrays


def _on_devices(
    read: Read, pile: Sequence[TensorSpec], stacked: bool, sizes: Sizes, layout: Layout, number: Any
) -> Array:
    shape, axes = expanded_shape(pile[0].shape, sizes), partition(pile[0].shape)

    def part_of(index: Sequence[slice]) -> Array:
        """That part of each array of the pile; no more than one of them is there as float32."""
        lengths = [end.stop - end.start for end in index]
        part = np.empty((len(pile), *lengths), number)
        for row, spec in enumerate(pile):
            part[row] = read(spec.name, tuple(index))
        return part if stacked else part[0]

    if layout.mesh is None:
        whole: Array = jax.device_put(part_of([slice(0, length) for length in shape]), jax.local_devices()[0])
        return whole
    made: dict[tuple[tuple[int, int], ...], Array] = {}

    def of_device(index: tuple[slice, ...]) -> Array:
        axes = index[1:] if stacked else index
        ends = tuple(part.indices(length)[:2] for part, length in zip(axes, shape, strict=True))
        if ends not in made:  # Devices along "data" hold the same part.
            made[ends] = part_of([slice(*pair) for pair in ends])
        return made[ends]

    whole_shape, axes = ((len(pile), *shape), (None, *axes)) if stacked else (shape, axes)
    sharding = layout.sharding(*axes)
    array: Array = jax.make_array_from_callback(whole_shape, sharding, of_device)  # type: ignore[arg-type, assignment]
    jax.block_until_ready(array)
    return array
