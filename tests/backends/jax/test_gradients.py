"""Gradients against finite differences in float64, and the first-order map against the exact sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np
import pytest

from llminspect.analysis.patching import Other
from llminspect.analysis.sweeping import sweep
from llminspect.analysis.token_scores import by_gradient
from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from llminspect.core.tap import Capture, Edit
from llminspect.core.unembed import log_softmax
from tests.backends.jax.divided import quickly_compiled
from tests.model.golden import Golden, with_arrays

if TYPE_CHECKING:
    from llminspect.arguments.forward import SweptPart
    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.backends.jax.conftest import Placed
    from tests.conftest import Program

OWN, OTHER = [3, 14, 15, 92, 65, 35], [3, 14, 77, 92, 65, 35]
LAST = len(OWN) - 1
STEP = 1e-5


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.stages.Lowered, "compile", quickly_compiled)


def in_float64(model: Model) -> Model:
    return with_arrays(model, {name: array.astype(np.float64) for name, array in model.params.arrays.items()})


def score(model: Model, tap: Edit, target: int, versus: int | None) -> float:
    logits_V = model.logits(model.run(OWN, tap).stream_TD[LAST:])[0]
    if versus is None:
        return float(log_softmax(logits_V)[target])
    return float(logits_V[target] - logits_V[versus])


def slope(model: Model, name: str, direction: Array, target: int, versus: int | None) -> float:
    """(score(+step) − score(−step)) / (2 · step) along a direction of the named array."""
    ends = [
        score(model, Edit(name, lambda array, sign=sign: array + sign * STEP * direction), target, versus)
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * STEP)


def test_gradient_times_input_is_the_slope_along_the_input(placed: Placed) -> None:
    _, plain, model = placed("llama")
    exact = in_float64(plain)
    found = by_gradient(model, OWN, LAST, 7, [])
    kept = Capture("layers.0.input")
    exact.run(OWN, kept)
    for token in range(len(OWN)):
        direction = np.zeros_like(kept["layers.0.input"])
        direction[token] = kept["layers.0.input"][token]
        assert abs(found.drops[token] - slope(exact, "layers.0.input", direction, 7, None)) < 1e-3


@pytest.mark.parametrize("part", ["stream", "head"])
def test_the_first_order_map_is_the_slope_towards_the_other_text(part: SweptPart, placed: Placed) -> None:
    _, plain, model = placed("llama")
    exact = in_float64(plain)
    found = sweep(model, OWN, Other(model, OTHER), LAST, part, (7, 9), [], gradient=True)
    swept = sweep(plain, OWN, Other(plain, OTHER), LAST, part, (7, 9), [])
    assert found.before == pytest.approx(swept.before, abs=1e-4) and found.after == pytest.approx(swept.after, abs=1e-4)
    step = "attention.mixed" if part == "head" else "output"
    kept, other = Capture(f"layers.*.{step}"), Capture(f"layers.*.{step}")
    exact.run(OWN, kept)
    exact.run(OTHER, other)
    shares = np.asarray(found.heads if part == "head" else found.restored)
    for layer in range(plain.config.sizes.L):
        name = f"layers.{layer}.{step}"
        for place in np.ndindex(*shares.shape[1:]):
            direction = np.zeros_like(kept[name])
            direction[place] = (other[name] - kept[name])[place]
            share = slope(exact, name, direction, 7, 9) / (found.after - found.before)
            assert abs(shares[(layer, *place)] - share) < 1e-3 * max(1.0, float(np.abs(shares).max()))


@pytest.mark.parametrize("part", ["stream", "head"])
def test_for_a_small_difference_it_is_the_exact_sweep(part: SweptPart, placed: Placed) -> None:
    """With another word that hardly differs, the straight line is the whole of it."""
    _, plain, _ = placed("llama")
    table_VD = plain.params["embedding.weight"].copy()
    table_VD[77] = table_VD[15] + 0.01 * (table_VD[77] - table_VD[15])
    near = with_arrays(plain, {"embedding.weight": table_VD})
    engine = on_jax(near, EngineSettings())
    found = sweep(engine, OWN, Other(engine, OTHER), LAST, part, (7, 9), [], gradient=True)
    swept = sweep(near, OWN, Other(near, OTHER), LAST, part, (7, 9), [])
    mine, its = np.asarray(found.restored), np.asarray(swept.restored)
    assert float(np.abs(mine - its).max()) < 0.1 * float(np.abs(its).max())


def test_on_the_command_line(called: Program) -> None:
    given = ("forward", "--ids", "3,14,15,92,65", "--model", str(Golden("llama").folder))
    found, compiled = (
        called(*given, "--saliency", "gradient", *engine, "--json").json for engine in ((), ("--engine", "jax"))
    )
    assert found["saliency"]["by"] == compiled["saliency"]["by"] == "gradient"
    drops = compiled["saliency"]["drops"]
    assert len(drops) == 5 and all(np.isfinite(drops))
    np.testing.assert_allclose(found["saliency"]["drops"], drops, rtol=0, atol=1e-4 * max(map(abs, drops)))


@pytest.mark.parametrize("part", ["stream", "head"])
def test_the_tape_gives_the_map_that_jax_gives(part: SweptPart, placed: Placed) -> None:
    _, plain, model = placed("llama")
    compiled, found = (
        np.asarray(sweep(each, OWN, Other(each, OTHER), LAST, part, (7, 9), [], gradient=True).restored)
        for each in (model, plain)
    )
    assert float(np.abs(found - compiled).max()) < 1e-4 * float(np.abs(compiled).max())
