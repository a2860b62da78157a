"""`attend` of a model that is changed: the numbers of a pass in which the very change is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.intervention import Place, replaced, scaled
from llminspect.core.tap import Capture, Chain
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model
    from tests.conftest import Program

TEXT, OTHER = "The capital of France is", "The capital of Italy is"


def weights(model: Model, text: str, *taps: Tap) -> Array:
    """[L, H, T, S] of one pass."""
    assert model.tokenizer is not None
    kept = Capture("layers.*.attention.weights")
    model.run(model.tokenizer.encode_ids(text), Chain([*taps, kept]))
    return np.stack([kept[f"layers.{layer}.attention.weights"] for layer in range(model.config.sizes.L)])


def patched(model: Model, place: Place) -> Tap:
    assert model.tokenizer is not None
    kept = Capture(place.tap)
    model.run(model.tokenizer.encode_ids(OTHER), kept)
    return replaced(place, kept[place.tap])


CHANGES: dict[str, tuple[list[str], Any, int]] = {
    "head": (["--ablate", "5.3"], lambda model: [replaced(Place(5, "head", 3), 0.0)], 5),
    "scale": (["--scale", "2.feedforward*3"], lambda model: [scaled(Place(2, "feedforward"), 3)], 2),
    "patch": (
        ["--patch", OTHER, "--into", "11.stream"], lambda model: [patched(model, Place(11, "stream"))], 11
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_the_weights_are_those_of_the_changed_pass(name: str, called: Program, smollm2: Model, tmp_path: Path) -> None:
    options, taps, layer = CHANGES[name]
    path = tmp_path / "weights.npz"
    assert called("attend", TEXT, *options, "--save", str(path)).code == 0
    found_LHTS, plain_LHTS = np.load(path)["weights"], weights(smollm2, TEXT)
    np.testing.assert_allclose(found_LHTS, weights(smollm2, TEXT, *taps(smollm2)), atol=1e-6)
    np.testing.assert_allclose(found_LHTS[: layer + 1], plain_LHTS[: layer + 1], atol=1e-6)
    assert np.abs(found_LHTS[layer + 1 :] - plain_LHTS[layer + 1 :]).max() > 0.01
    one = called("attend", TEXT, *options, "--layer", "20", "--head", "3", "--json").json
    assert_fits(one, "attend")
    assert one["experiments"][0]["kind"] == options[0].removeprefix("--")
    np.testing.assert_allclose(one["heads"][0]["weights"], found_LHTS[20, 3], atol=1e-6)
    row = called("attend", TEXT, *options, "--layer", "20", "--head", "3", "--query", "4", "--json").json
    np.testing.assert_allclose(row["query"]["weights"], found_LHTS[20, 3, 4], atol=1e-6)


def test_it_is_said_and_the_same_in_python(called: Program) -> None:
    import llminspect

    text = called("attend", "A cat sat.", "--ablate", "0.attention", "--measure", "sink").out
    assert text.startswith("ablate 0.attention (zero)")
    found = llminspect.attend("A cat sat.", ablate="0.attention", measure="sink")
    there = called("attend", "A cat sat.", "--ablate", "0.attention", "--measure", "sink", "--json").json
    assert found.overview is not None
    np.testing.assert_allclose(found.overview.measures["sink"], there["overview"]["measures"]["sink"], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--patch", OTHER], "--patch needs a place here"),
        (["--patch", "a", "--into", "3.stream"], "position by position"),
        (["--ablate", "30.0"], "no layer 30"),
        (["--ablate", "1.0", "--contributions"], "about the model as it is"),
        (["--scale", "1.0*2", "--find", "4->3", "--control", OTHER], "about the model as it is"),
    ],
)
def test_what_cannot_be_changed_so_is_refused(options: list[str], message: str, called: Program) -> None:
    ran = called("attend", TEXT, *options)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1


def test_an_encoder_decoder_is_refused(called: Program) -> None:
    ran = called("attend", "cet avocat parle", "--model", "toy-translate", "--ablate", "0.0")
    assert ran.code == 2 and "is an encoder–decoder" in ran.err
