"""A tap that names what a pass never reaches is an error, not a result of nothing."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import llminspect
from llminspect import Capture, Chain, Edit, Visit
from llminspect.core.tap import Under, Until
from llminspect.errors import ModelError, UserError
from tests.conftest import ROOT
from tests.model.golden import NAMES, Golden

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model

IDS = [3, 1, 4, 1, 5]


@pytest.fixture(scope="module")
def llama() -> Model:
    return llminspect.open_model(str(ROOT / "tests" / "golden" / "llama"), streamed=True)


def nothing(array: Array) -> Array:
    return array


def doubled(array: Array, factor: Array) -> Array:
    return array * factor


@pytest.mark.parametrize(
    ("make", "named", "near"),
    [
        (lambda: Capture("layers.0.attention.wieghts"), "layers.0.attention.wieghts", "layers.0.attention.weights"),
        (
            lambda: Capture("layers.*.output", "layers.*.atention.weights"),
            "layers.*.atention.weights",
            "layers.*.attent",
        ),
        (lambda: Visit(print, "layers.0.middel"), "layers.0.middel", "layers.0.middle"),
        (lambda: Edit("layers.77.output", nothing), "layers.77.output", "layers.0.output"),
        (lambda: Chain([Capture("layers.0.output"), Edit("layers.0.ouput", nothing)]), "ouput", "layers.0.output"),
        (lambda: Until(Capture("layers.0.ouput"), "no such name"), "layers.0.ouput", "layers.0.output"),
    ],
)
def test_a_name_that_is_never_reached_is_an_error(llama: Model, make: Callable[[], Tap], named: str, near: str) -> None:
    with pytest.raises(UserError, match="waits for") as raised:
        llama.run(IDS, make())
    assert named in raised.value.message
    assert raised.value.hint is not None and near in raised.value.hint


def test_a_pass_of_the_logits_is_checked_as_well(llama: Model) -> None:
    stream_TD = llama.run(IDS).stream_TD
    llama.logits(stream_TD, Capture("final.norm"))
    with pytest.raises(UserError, match=r"final\.nrom"):
        llama.logits(stream_TD, Edit("final.nrom", nothing))
    with pytest.raises(UserError, match="does not come there") as raised:
        llama.run(IDS, Edit("final.norm", nothing))
    assert raised.value.hint == "give the tap to model.logits"


def test_one_tap_may_see_the_pass_and_the_logits(llama: Model) -> None:
    """What the pass has reached is not missed when the logits are read out."""
    kept = Chain([Capture("layers.*.output", "final.norm"), Edit("layers.0.output", nothing)])
    llama.logits(llama.run(IDS, kept).stream_TD, kept)


def test_what_may_be_missing_says_so(llama: Model) -> None:
    llama.run(IDS, Capture("embedding.positions", optional=True))
    llama.run(IDS, Visit(print, "embedding.positions", optional=True))


def test_a_pass_that_is_ended_early_is_not_checked(llama: Model) -> None:
    from llminspect.core.tap import Enough

    with pytest.raises(Enough):
        llama.run(IDS, Until(Capture("layers.1.output"), "layers.0.output"))


def test_a_name_under_another_stack_is_named_in_full(llama: Model) -> None:
    with pytest.raises(UserError, match=r"encoder\.layers\.0\.output"):
        llama.run(IDS, Under("encoder.", Capture("layers.0.output")))


def test_the_source_of_an_encoder_decoder_is_checked() -> None:
    model = llminspect.open_model(str(ROOT / "tests" / "golden" / "t5"), streamed=True)
    source = model.encode_source([3, 4, 1], Capture("encoder.layers.*.output"))
    with pytest.raises(UserError, match=r"encoder\.layers\.0\.ouput"):
        model.encode_source([3, 4, 1], Capture("encoder.layers.0.ouput"))
    with pytest.raises(UserError, match="ouput") as raised:
        replace(model, source=source).run([0, 3], Edit("layers.0.ouput", nothing))
    assert raised.value.hint is not None and "layers.0.output" in raised.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_a_pass(name: str) -> None:
    """Every family says the names of all its steps; a mixture those of the experts of one token."""
    golden = Golden(name)
    model = llminspect.open_model(str(golden.folder), streamed=True)
    seen, expected = Capture("*"), golden.expected
    source = model.encode_source(expected["source_ids"], seen) if golden.has_source else None
    stream_TD = model.run(expected["ids"], seen, source).stream_TD
    with suppress(ModelError):  # Of one without an output matrix, after its norm.
        model.logits(stream_TD, seen)
    if model.architecture.head is not None:
        model.label_scores(expected["ids"], stream_TD, seen)
    both = (model.names(), seen.arrays)
    named, reached = ({re.sub(r"experts\.\d+", "experts.N", each) for each in names} for names in both)
    assert named == reached


def test_the_engine_jax_checks_the_same(llama: Model) -> None:
    from llminspect.backends.jax.settings import EngineSettings
    from llminspect.backends.jax.start import on_jax

    model = on_jax(llama, EngineSettings())
    for _ in range(2):  # The second pass is not traced, its program is there.
        twice = Edit("layers.1.output", doubled, 2.0)
        model.run(IDS, twice)
        with pytest.raises(UserError, match=r"'layers\.1\.ouput'"):
            model.run(IDS, Chain([twice, Edit("layers.1.ouput", doubled, 2.0)]))
        with pytest.raises(UserError, match=r"'layers\.1\.ouput'"):
            model.run(IDS, Capture("layers.1.ouput"))
