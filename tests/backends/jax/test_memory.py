"""What is printed of memory is what is there, and what does not fit is refused before it starts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.backends.jax import mesh
from llminspect.backends.jax.mesh import cache_bytes, size, weights_bytes
from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from llminspect.errors import UserError

if TYPE_CHECKING:
    from tests.backends.jax.conftest import Placed


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_formulas_give_the_measured_bytes(dtype: str, placed: Placed) -> None:
    _, plain, model = placed("llama", dtype=dtype)
    engine, sizes = model.engine, plain.config.sizes
    specs = [spec for spec in plain.architecture.tensors(plain.config) if spec.name in plain.params]
    measured = sum(array.nbytes for array in engine.arrays.values())  # type: ignore[union-attr]
    assert weights_bytes(specs, sizes, dtype) == measured
    cache = model.run([1, 2, 3]).cache
    assert cache is not None
    kept = sum(seen.key_KSE.nbytes + seen.value_KSE.nbytes for seen in cache.layers)
    assert cache_bytes(sizes, 3) == kept


def test_it_is_said_before_it_starts(placed: Placed) -> None:
    from llminspect.core.tap import Capture

    _, plain, _ = placed("llama")
    lines: list[str] = []
    model = on_jax(plain, EngineSettings(), note=lines.append)
    assert len(lines) == 1 and "weights" in lines[0] and "a token" in lines[0]
    model.engine.budget.working = 0  # type: ignore[union-attr]
    tap = Capture("layers.*.attention.weights")
    model.run(np.arange(20), tap)
    kept = sum(array.nbytes for array in tap.arrays.values())
    assert len(lines) == 2 and f"what is looked at {size(kept)}" in lines[1]


def test_weights_that_do_not_fit_are_refused(placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    _, plain, _ = placed("llama")
    monkeypatch.setattr(mesh, "room_of", lambda device: 1000)
    with pytest.raises(UserError, match="the weights take"):
        on_jax(plain, EngineSettings())


def test_memory_that_is_gone_when_it_runs_is_an_error_of_one_line(placed: Placed) -> None:
    import jax

    _, plain, _ = placed("llama")
    model = on_jax(plain, EngineSettings())
    model.run([1, 2])
    programs = model.engine.programs  # type: ignore[union-attr]

    def full(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    (key,) = programs
    programs[key] = replace(programs[key], call=full)
    with pytest.raises(UserError, match="no memory left"):
        model.run([1, 2])


def test_a_pass_that_does_not_fit_is_refused(placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    from llminspect.core.tap import Capture

    _, plain, _ = placed("llama")
    model = on_jax(plain, EngineSettings())
    budget = model.engine.budget  # type: ignore[union-attr]
    budget.room = budget.weights + 10_000
    with pytest.raises(UserError, match="this pass takes"):
        model.run(np.arange(40), Capture("layers.*.attention.weights"))
