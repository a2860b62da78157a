"""From an opened model to the same model on JAX: each process reads the parts that its own devices hold, no more."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llminspect.backends.jax import mesh
from llminspect.backends.jax.compiled import Compiled
from llminspect.backends.jax.hosts import lost
from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.values import is_pile, piled, places_in
from llminspect.core.array import Array
from llminspect.core.numbers import ranges
from llminspect.errors import UsageError, UserError
from llminspect.model.config import Sizes
from llminspect.model.opened import Model
from llminspect.model.spec import TensorSpec, expanded_shape

Read = Callable[[str, tuple[slice, ...]], Array]


SMALL = 32_000_000
"""Bytes of working memory that are not announced."""


def on_jax(
    model: Model,
    settings: EngineSettings,
    *,
    progress: Callable[[str, int, int | None], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Model:
    """The model with its weights on JAX's devices.

    Raises UsageError where the mesh does not fit the model, UserError where JAX has no device or memory is short.
    """
    _check_kind(model)
    _check_devices()
    sizes = model.config.sizes
    specs = [spec for spec in model.architecture.tensors(model.config) if spec.name in model.params]
    wanted, cut, several = settings.axes, mesh.cut_over_model(sizes, specs), jax.process_count() > 1
    if wanted is None and several:
        wanted = {"model": jax.device_count()}
    if wanted is not None:
        mesh.check_divides(cut, wanted, jax.device_count() if several else None)
    layout = mesh.Layout(mesh.make_mesh(wanted, cut))
    tell = note or (lambda text: None)
    device = jax.local_devices()[0]
    weights = mesh.weights_bytes(specs, sizes, settings.dtype, layout.model)
    # The largest array may be copied for its product; small things beside it are not worth a word.
    working = max(mesh.array_bytes(spec, sizes, "float32", layout.model) for spec in specs)
    budget = mesh.MemoryBudget(weights, mesh.room_of(device), tell, working + SMALL)
    count = "1 device" if layout.mesh is None else f"{layout.mesh.size} devices"
    tell(
        f"jax on {count} ({device.device_kind}): weights {mesh.size(weights)} a device "
        f"({mesh.size(mesh.weights_bytes(specs, sizes, settings.dtype))} in all), "
        f"cache {mesh.size(mesh.cache_bytes(sizes, 1, layout.model))} a token, "
        f"working memory about {mesh.size(working)}"
    )
    budget.check_weights()
    arrays = load(model.params.part, specs, sizes, layout, settings.dtype, progress)
    return replace(model, engine=Compiled(model, arrays, places_in(piled(specs)), layout, budget))


def _check_kind(model: Model) -> None:
    """Raise UsageError for a model whose passes are not compiled."""
    config, layers = model.config, range(model.config.sizes.L)
    why = ""
    if config.state is not None:
        why = f"layers {ranges(config.state_layers)} of {model.name} have a state ({config.state.named})"
    elif config.per_layer or config.borrowing or any(config.heads_of(at) != config.heads_of(0) for at in layers):
        why = f"the layers of {model.name} have heads of two sizes, use others' keys, or read vectors of the tokens"
    if why:
        raise UsageError(f"--engine jax: {why}, which is not compiled", "take --engine numpy")


def _check_devices() -> None:
    """Raise UserError where JAX has no device of the kind that it is to take."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # What JAX raises for a kind that it knows and does not find.
        if jax.distributed.is_initialized():
            lost()
        wanted = os.environ.get("JAX_PLATFORMS", "any")
        raise UserError(
            f"JAX finds no such device: {wanted} (JAX_PLATFORMS)",
            "pip install 'llminspect-cli[cuda]' for NVIDIA GPUs, or JAX_PLATFORMS=cpu",
        ) from error


def load(
    read: Read,
    specs: Sequence[TensorSpec],
    sizes: Sizes,
    layout: mesh.Layout,
    dtype: str = "float32",
    progress: Callable[[str, int, int | None], None] | None = None,
) -> dict[str, Array]:
    """The arrays of `specs` on the devices of the layout as `dtype`, those of layers of one kind piled up.

    `read(name, index)` gives a part of an array in float32; it is asked for each part that this process holds, once.
    """
    number, arrays, done = jnp.dtype(dtype), {}, 0
    total = sum(mesh.array_bytes(spec, sizes, dtype, layout.model) for spec in specs)
    for name, pile in piled(specs).items():
        arrays[name] = _on_devices(read, pile, is_pile(name), sizes, layout, number)
        done += sum(mesh.array_bytes(spec, sizes, dtype, layout.model) for spec in pile)
        if progress is not None:
            progress("load", done, total)
    return arrays


def _on_devices(
    read: Read, pile: Sequence[TensorSpec], stacked: bool, sizes: Sizes, layout: mesh.Layout, number: Any
) -> Array:
    shape, axes = expanded_shape(pile[0].shape, sizes), mesh.partition(pile[0].shape)

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
