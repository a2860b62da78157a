"""From an opened model to the same model on JAX."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import jax

from llminspect.backends.jax.compiled import Compiled
from llminspect.backends.jax.hosts import lost
from llminspect.backends.jax.loading import load
from llminspect.backends.jax.memory import MemoryBudget, array_bytes, cache_bytes, room_of, size, weights_bytes
from llminspect.backends.jax.mesh import Layout, check_divides, cut_over_model, make_mesh
from llminspect.backends.jax.widened import piled, places_in
from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.backends.jax.settings import EngineSettings
    from llminspect.model.opened import Model

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
    _check_devices()
    sizes = model.config.sizes
    specs = [spec for spec in model.architecture.tensors(model.config) if spec.name in model.params]
    wanted, cut, several = settings.axes, cut_over_model(sizes, specs), jax.process_count() > 1
    if wanted is None and several:
        wanted = {"model": jax.device_count()}
    if wanted is not None:
        check_divides(cut, wanted, jax.device_count() if several else None)
    layout = Layout(make_mesh(wanted, cut))
    tell = note or (lambda text: None)
    device = jax.local_devices()[0]
    weights = weights_bytes(specs, sizes, settings.dtype, layout.model)
    # The largest array may be copied for its product; small things beside it are not worth a word.
    working = max(array_bytes(spec, sizes, "float32", layout.model) for spec in specs)
    budget = MemoryBudget(weights, room_of(device), tell, working + SMALL)
    count = "1 device" if layout.mesh is None else f"{layout.mesh.size} devices"
    tell(
        f"jax on {count} ({device.device_kind}): weights {size(weights)} a device "
        f"({size(weights_bytes(specs, sizes, settings.dtype))} in all), "
        f"cache {size(cache_bytes(sizes, 1, layout.model))} a token, working memory about {size(working)}"
    )
    budget.check_weights()
    arrays = load(model.params.part, specs, sizes, layout, settings.dtype, progress)
    return replace(model, engine=Compiled(model, arrays, places_in(piled(specs)), layout, budget))


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
