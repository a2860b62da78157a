"""Heads patched at single positions: against a loop of single passes, and beside what gradients say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.patching import Other
from llminspect.analysis.sweeping import sweep
from llminspect.analysis.swept import agreement
from llminspect.core.intervention import Place, replaced
from llminspect.core.tap import Capture, Chain
from llminspect.opening import open_model
from tests.commands.experimenting import GOLDEN

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model
    from tests.conftest import Program

HERE, THERE = [3, 14, 15, 92, 65, 35], [3, 14, 77, 92, 65, 12]


def one_by_one(model: Model, position: int, taps: list[Tap]) -> tuple[Array, float, float]:
    """Each cell by a pass of its own, over the whole text; and the number without a patch and in the other text."""

    def number(ids: list[int], *more: Tap) -> float:
        logits_V = model.logits(model.run(ids, Chain([*taps, *more])).stream_TD[position][None])[0].astype(np.float64)
        return float(logits_V[7] - logits_V[9])

    sizes = model.config.sizes
    seen = Capture("layers.*.attention.mixed")
    model.run(THERE, Chain([*taps, seen]))
    cells = np.zeros((sizes.L, sizes.H, len(HERE)))
    for layer, head, at in np.ndindex(*cells.shape):
        place = Place(layer, "head", head)
        value_E = seen[place.tap][head, at]
        cells[layer, head, at] = number(HERE, replaced(place, value_E, [at]))
    return cells, number(HERE), number(THERE)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "bert", "mixtral"])
@pytest.mark.parametrize("position", [5, 4])
def test_each_cell_is_what_a_pass_of_its_own_gives(name: str, position: int) -> None:
    model = open_model(str(GOLDEN / name))
    _same(model, position, [])


def test_other_changes_act_in_every_pass() -> None:
    _same(open_model(str(GOLDEN / "llama")), 5, [replaced(Place(0, "head", 1), 0.0)])


def _same(model: Model, position: int, taps: list[Tap]) -> None:
    found = sweep(model, HERE, Other(model, THERE), position, "head-position", (7, 9), taps)
    cells, before, after = one_by_one(model, position, taps)
    shares = (cells - before) / (after - before)
    assert found.heads is not None and found.before == pytest.approx(before, abs=1e-4)
    np.testing.assert_allclose(found.heads, shares, rtol=0, atol=1e-3 * np.abs(shares).max())
    whole = sweep(model, HERE, Other(model, THERE), position, "head", (7, 9), taps)
    np.testing.assert_allclose(found.restored, whole.restored, rtol=0, atol=1e-5 * np.abs(whole.restored).max())


def test_what_comes_before_the_first_difference_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, lengths = open_model(str(GOLDEN / "llama")), []
    run = type(model).run

    def counted(model: Model, ids: Any, *more: Any, **named: Any) -> Any:
        lengths.append(np.asarray(ids).shape)
        return run(model, ids, *more, **named)

    monkeypatch.setattr(type(model), "run", counted)
    found = sweep(model, HERE, Other(model, THERE), 5, "head-position", (7, 9), [])
    heads = model.config.sizes.L * model.config.sizes.H
    batches = [shape for shape in lengths if len(shape) == 2 and shape[0] > 1]
    # At the first position that differs each head by itself, and each at all positions.
    assert batches == [(2 * heads, 4), (heads, 3), (heads, 2), (heads, 1)]
    assert found.heads is not None and not np.asarray(found.heads)[..., :2].any()


def test_by_gradient_and_exactly_in_one_answer() -> None:
    model = open_model(str(GOLDEN / "llama"))
    ways: list[dict[str, Any]] = [{}, {"gradient": True}, {"gradient": True, "exact": True}]
    exact, gradient, both = (
        sweep(model, HERE, Other(model, THERE), 5, "head-position", (7, 9), [], **way) for way in ways
    )
    assert (exact.by, gradient.by, both.by) == ("patching", "gradient", "patching")
    np.testing.assert_allclose(np.asarray(both.heads), np.asarray(exact.heads), rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.asarray(both.first_order), np.asarray(gradient.heads), rtol=0, atol=1e-5)
    assert both.agreement is not None and exact.agreement is None
    mine, its = np.asarray(exact.heads), np.asarray(gradient.heads)
    assert both.agreement.correlation == pytest.approx(np.corrcoef(mine.ravel(), its.ravel())[0, 1], abs=1e-4)
    worst = both.agreement.worst
    assert abs(mine - its).max() == pytest.approx(abs(worst.exact - worst.gradient), abs=1e-5)
    assert mine[worst.layer, worst.head, worst.position] == pytest.approx(worst.exact)


@pytest.mark.parametrize("part", ["stream", "attention", "feedforward", "head"])
def test_the_worst_cell_is_named_by_what_it_is(part: Any) -> None:
    exact, gradient = np.zeros((3, 4)), np.zeros((3, 4))
    exact[2, 1], gradient[2, 1], exact[0, 0] = 1.0, 0.25, 0.5
    found = agreement(part, exact, gradient)
    assert (found.worst.layer, found.worst.exact, found.worst.gradient, found.cells) == (2, 1.0, 0.25, 12)
    assert (found.worst.head, found.worst.position) == ((1, None) if part == "head" else (None, 1))


INDUCTION = ("--model", "toy-induction", "--sweep", "head-position")


def test_the_map_of_a_layer_is_drawn_where_it_is_opened(called: Program) -> None:
    given = ("forward", "Mr Toad met Mrs Hen. Mr", "--patch", "Mrs Toad met Mr Hen. Mr", *INDUCTION)
    ran = called(*given)
    assert "heads at single positions" in ran.out and "each head of layer 1" not in ran.out
    assert "patching each head of layer 1 at each position" in called(*given, "--layer", "1").out
    both = called(*given, "--gradient", "--exact")
    assert "by gradients and exactly: correlation" in both.out and "by gradient" in both.out
    assert re.search(r"farthest apart at head \d\.\d, position \d “", " ".join(both.out.split()))
    found = called(*given, "--gradient", "--exact", "--json").json["sweep"]
    assert np.asarray(found["heads"]).shape == np.asarray(found["first_order"]).shape == (2, 2, 7)
    # The second layer's head copies what follows the word before; the first layer's tells it which word that was.
    assert found["heads"][1][0][6] == pytest.approx(1, abs=0.01)
    assert found["heads"][0][0][1] == pytest.approx(0.5, abs=0.01) == found["heads"][0][0][4]


@pytest.mark.parametrize("options", [["--exact"], ["--gradient", "--exact", "--saliency"], ["--exact", "--lens"]])
def test_exact_is_a_second_way_to_patch(called: Program, options: list[str]) -> None:
    ran = called("forward", "Mr Toad", "--model", "toy-induction", *options)
    assert ran.code == 2 and "--exact" in ran.err and len(ran.err.splitlines()) == 1


def test_over_texts_each_cell_has_its_mean(called: Program, tmp_path: Path) -> None:
    file = tmp_path / "records"
    pairs = [
        ("Mr Toad met Mrs Hen. Mr", "Mrs Toad met Mr Hen. Mr"),
        ("Mr Hen met Mrs Toad. Mr", "Mrs Hen met Mr Toad. Mr"),
    ]
    file.write_text("".join(json.dumps({"text": text, "patch": other}) + "\n" for text, other in pairs))
    places = called("forward", "--over", str(file), *INDUCTION, "--json").json["places"]
    found = {tuple(place.get(name) for name in ("layer", "head", "position")): place for place in places}
    single = [called("forward", text, "--patch", other, *INDUCTION, "--json").json["sweep"] for text, other in pairs]
    mean = np.mean([np.asarray(one["heads"]) for one in single], axis=0)
    for layer, head, at in np.ndindex(*mean.shape):
        assert found[layer, head, at]["mean"] == pytest.approx(mean[layer, head, at], abs=1e-5)
        assert found[layer, head, at]["measure"] == "restored at one position" and found[layer, head, at]["count"] == 2
    assert "1.0 · position 6" in called("forward", "--over", str(file), *INDUCTION).out
