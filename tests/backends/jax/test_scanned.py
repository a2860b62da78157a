"""Layers that are alike are compiled once, whatever taps want of them; passes that are alike are one program."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.patching import Other
from llminspect.analysis.sweeping import sweep
from llminspect.backends.jax.compiled import Compiled
from llminspect.backends.jax.scanned import runs
from llminspect.backends.jax.settings import EngineSettings
from llminspect.backends.jax.start import on_jax
from llminspect.core.array import namespace
from llminspect.core.tap import Capture, Chain, Edit, Enough, Until
from llminspect.opening import open_model
from tests.backends.jax.eight import EIGHT, write_model
from tests.closeness import assert_close

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model

IDS = [3, 1, 4, 1, 5]


def of_layers(folder: Path, layers: int) -> tuple[Model, Model]:
    """A model on numpy and on JAX."""
    made = folder / str(layers)
    made.mkdir()
    write_model(made, replace(EIGHT, L=layers))
    plain = open_model(str(made), offline=True, streamed=True)
    return plain, on_jax(plain, EngineSettings())


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    return of_layers(tmp_path_factory.mktemp("layers"), 7)


def programs(model: Model) -> dict[Any, Any]:
    assert isinstance(model.engine, Compiled)
    return model.engine.programs


def test_what_repeats() -> None:
    assert list(runs("AAAA")) == [(0, 1, 4)]
    assert list(runs("AABAAAA")) == [(0, 1, 2), (2, 1, 1), (3, 1, 4)]
    assert list(runs("ABABA")) == [(0, 2, 2), (4, 1, 1)]
    assert list(runs("LLLLLGLLLLLGLL")) == [(0, 6, 2), (12, 1, 2)]
    assert list(runs("AABAAB")) == [(0, 3, 2)]
    assert list(runs("ABC")) == [(0, 1, 1), (1, 1, 1), (2, 1, 1)] and list(runs("")) == []


def test_the_code_does_not_grow_with_the_layers(tmp_path: Path) -> None:
    lengths = []
    for layers in (4, 12):
        _, model = of_layers(tmp_path, layers)
        model.run(IDS, Capture("layers.*.attention.weights", "layers.*.output"))
        (program,) = programs(model).values()
        lengths.append(len(program.call.as_text().splitlines()))
    assert lengths[0] == lengths[1]


def doubled(array: Array, factor: Array) -> Array:
    return array * factor


@pytest.mark.parametrize(
    "tap",
    [
        lambda: Capture("*"),
        lambda: Capture("layers.3.attention.weights"),
        lambda: Chain([Edit("layers.2.attention.mixed", doubled, 2.0), Capture("layers.*.output")]),
        lambda: Chain([Edit(f"layers.{at}.middle", doubled, 1.0 + at / 10) for at in range(7)]),
        lambda: Chain([Capture("layers.*.middle"), Edit("layers.4.middle", doubled, 0.5), Capture("layers.4.middle")]),
        lambda: Until(
            Capture("layers.*.attention.weights"), "layers.1.attention.weights", "layers.4.attention.weights"
        ),
    ],
)
def test_taps_see_and_change_what_they_do_on_numpy(tap: object, seven: tuple[Model, Model]) -> None:
    given = [tap(), tap()]  # type: ignore[operator]
    streams = []
    for model, watch in zip(seven, given, strict=True):
        try:
            streams.append(model.run(IDS, watch).stream_TD)
        except Enough:
            streams.append(np.zeros(1))
    assert_close(streams[1], streams[0])
    for plain, compiled in zip(*(list(captures(watch)) for watch in given), strict=True):
        assert list(compiled.arrays) == list(plain.arrays) != []
        for name, array in plain.arrays.items():
            # A row of scores may be one small difference of large products: its relative error is theirs, many times.
            assert_close(compiled[name], array, 1e-3, name)


def captures(tap: Tap) -> list[Capture]:
    if isinstance(tap, Chain):
        return [found for inner in tap.taps for found in captures(inner)]
    if isinstance(tap, Until):
        return captures(tap.tap)
    return [tap] if isinstance(tap, Capture) else []


def test_a_sweep_is_one_program(tmp_path: Path) -> None:
    """A pass each for the other text and for its own, one for all batches of the sweep, and the readout of each."""
    plain, model = of_layers(tmp_path, 4)
    other = [3, 1, 9, 1, 5]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llminspect.analysis.swept.TOKENS_AT_ONCE", 20)  # Four texts a batch: eight batches.
        found, expected = (sweep(one, IDS, Other(one, other), 4, "head", (7, 9), []) for one in (model, plain))
    assert_close(found.restored, expected.restored, 1e-3)  # Shares of a small difference.
    passes = [key for key in programs(model) if key[0][0] == "forward"]
    assert len(passes) == 3


def test_another_value_is_the_same_program(seven: tuple[Model, Model]) -> None:
    before = len(programs(seven[1]))
    for factor in (0.0, 1.0, 7.5):
        seven[1].run(IDS, Edit("layers.5.attention.output", doubled, factor))
    assert len(programs(seven[1])) == before + 1


def test_generating_takes_few_programs(tmp_path: Path) -> None:
    """One for the prompt, one for as long as the cache has 64 places, one for 128; and one to read logits of each."""
    plain, model = of_layers(tmp_path, 3)
    chosen: list[list[int]] = []
    for one in (plain, model):
        cache, ids, chosen_ids = None, IDS, []
        for _ in range(70):
            result = one.run(ids, cache=cache)
            cache, ids = result.cache, [int(np.argmax(one.logits(result.stream_TD[-1:])[0]))]
            chosen_ids += ids
        chosen.append(chosen_ids)
    assert chosen[0] == chosen[1]
    kinds = [key[0][0] for key in programs(model)]
    assert kinds.count("forward") == 3 and kinds.count("logits") == 1
    assert cache is not None and namespace(cache.layers[0].key_KSE) is not np
