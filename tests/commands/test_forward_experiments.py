"""Ablating, scaling, steering, patching: against plain passes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.forward import forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.patching import Other
from llminspect.analysis.sweeping import sweep
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.commands.forward.sweep import why_there
from llminspect.core.intervention import Place, replaced
from llminspect.core.tap import Capture
from llminspect.opening import open_model
from tests.closeness import SINGLE, assert_close
from tests.commands.experimenting import FRANCE, GOLDEN, ITALY, changed, ids_prompt, matches, patched, prompt
from tests.commands.plain_llama import plain_forward

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program


def test_the_plain_pass_is_the_model(smollm2: Model) -> None:
    matches(
        forward(smollm2, ForwardQuestion(), prompt(smollm2, FRANCE)),
        plain_forward(smollm2, prompt(smollm2, FRANCE).ids)[0],
    )


def test_a_mixture_says_which_experts_each_token_went_to() -> None:
    model = open_model(str(GOLDEN / "mixtral"))
    result = forward(model, ForwardQuestion(), ids_prompt(5, 6, 7))
    assert result.experts is not None
    for layer in result.experts:
        assert len(layer.tokens) == 3
        for chosen in layer.tokens:
            assert len(chosen) == model.config.experts.chosen  # type: ignore[union-attr]
            assert abs(sum(route.weight for route in chosen) - 1) < 1e-5
            assert chosen[0].weight >= chosen[-1].weight


def test_an_opened_layer_of_a_mixture_is_a_map_of_its_experts(called: Program) -> None:
    given = ("forward", "--ids", "5,9,11,30", "--model", str(GOLDEN / "glm4_moe"), "--layer", "1")
    drawn, (routing,) = called(*given).out, called(*given, "--json").json["experts"]
    assert routing["layer"] == 1 and "layer 1: which experts each token went to" in drawn
    chosen = sorted({route["expert"] for token in routing["tokens"] for route in token})
    picture = drawn.split("tokens down, experts across\n")[1].splitlines()
    assert picture[0].split() == list(map(str, chosen))
    for line, token in zip(picture[1:5], routing["tokens"], strict=True):
        weights = {route["expert"]: f"{route['weight']:.2f}" for route in token}
        assert line.split()[1:] == [weights.get(expert, "·") for expert in chosen]


@pytest.mark.parametrize("target", [None, 7])
def test_versus_is_how_far_two_answers_are_apart_before_and_after(called: Program, target: int | None) -> None:
    model = ("--model", str(GOLDEN / "gpt2"), *(() if target is None else ("--target", f"#{target}")))
    given = ("forward", "--ids", "5,6,8,9", *model, "--ablate", "1.0", "--versus", "#9")
    change = called(*given, "--json").json["change"]
    opened, no_head = open_model(str(GOLDEN / "gpt2")), replaced(Place(1, "head", 0), 0.0)
    passes = opened.run([5, 6, 8, 9]), opened.run([5, 6, 8, 9], no_head)
    logits = [opened.logits(one.stream_TD[-1]) for one in passes]
    first = int(np.argmax(logits[0])) if target is None else target
    assert (change["target"]["id"], change["versus"]["id"]) == (first, 9)
    apart = np.array([float(row_V[first]) - float(row_V[9]) for row_V in logits])
    assert_close(np.array(change["difference"]), apart)
    assert abs(apart[1] - apart[0]) > 1e-3
    (line,) = [line for line in called(*given).out.splitlines() if line.startswith("logit(")]
    assert line.endswith(" after") and [float(word) for word in line.replace(",", "").split() if _is_number(word)] == (
        pytest.approx(apart, rel=1e-2, abs=1e-3)
    )


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).isdigit()


@pytest.mark.parametrize("place", ["23.4", "5.attention", "29.feedforward"])
def test_ablating_is_what_a_plain_pass_without_it_gives(smollm2: Model, place: str) -> None:
    number, _, part = place.partition(".")
    ids = prompt(smollm2, FRANCE).ids

    def no_head(layer: int, head: int, position: int, vector: Any) -> Any:
        return vector * 0 if (str(layer), str(head)) == (number, part) else vector

    def no_step(step: str, layer: int, position: int, vector: Any) -> Any:
        return vector * 0 if (str(layer), step) == (number, part) else vector

    result = changed(smollm2, ablate=[place])
    matches(result, plain_forward(smollm2, ids, head=no_head, added=no_step)[0])
    assert result.change is not None
    assert result.baseline is not None
    assert result.baseline.next[0].text == " Paris"
    assert result.change.largest_logit_change > 0.1


def test_mean_ablation_and_scaling(smollm2: Model) -> None:
    ids = prompt(smollm2, FRANCE).ids
    seen: dict[int, Any] = {}

    def remember(step: str, layer: int, position: int, vector: Any) -> Any:
        if (step, layer) == ("feedforward", 12):
            seen[position] = vector
        return vector

    def mean(step: str, layer: int, position: int, vector: Any) -> Any:
        return np.mean(list(seen.values()), axis=0) if (step, layer) == ("feedforward", 12) else vector

    plain_forward(smollm2, ids, added=remember)
    matches(changed(smollm2, ablate=["12.feedforward"], ablate_with="mean"), plain_forward(smollm2, ids, added=mean)[0])

    def louder(layer: int, head: int, position: int, vector: Any) -> Any:
        return vector * -1.5 if (layer, head) == (23, 4) else vector

    matches(changed(smollm2, scale=["23.4*-1.5"]), plain_forward(smollm2, ids, head=louder)[0])


def test_steering_adds_the_difference_of_two_streams(smollm2: Model) -> None:
    assert smollm2.tokenizer is not None
    assert smollm2.tokenizer.bos_id is not None
    front = [*smollm2.tokenizer.prefix_ids] or [smollm2.tokenizer.bos_id]
    love, hate = (
        plain_forward(smollm2, [*front, *smollm2.tokenizer.encode_ids(word)])[1][6][-1] for word in (" love", " hate")
    )

    def steer(layer: int, position: int, vector: Any) -> Any:
        return vector + 2 * (love - hate) if layer == 6 else vector

    result = changed(smollm2, steer=["love - hate@6*2"])
    matches(result, plain_forward(smollm2, prompt(smollm2, FRANCE).ids, stream=steer)[0])


def test_experiments_compose(smollm2: Model) -> None:
    ids = prompt(smollm2, FRANCE).ids
    both = changed(smollm2, ablate=["23.4"], scale=["29.feedforward*0.5"])

    def head(layer: int, head: int, position: int, vector: Any) -> Any:
        return vector * 0 if (layer, head) == (23, 4) else vector

    def added(step: str, layer: int, position: int, vector: Any) -> Any:
        return vector * 0.5 if (step, layer) == ("feedforward", 29) else vector

    matches(both, plain_forward(smollm2, ids, head=head, added=added)[0])


def test_below_the_map_of_the_stream_stands_why_it_is_patched_there(called: Program) -> None:
    lines = called("forward", "hello", "--model", "toy", "--patch", "world", COLUMNS="100").out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.endswith("; patched after layer 0:")]
    assert lines[at + 1].startswith("patch 0.stream (“world” at position 0)")
    assert "patch"
    found = llminspect.forward([5, 6, 7, 8], str(GOLDEN / "llama"), patch=[5, 9, 7, 8]).sweep
    assert found is not None
    carried = why_there(replace(found, together=[1.0, 0.5, 0.49]))
    assert carried == "the words that differ carry at least half of the answer up to layer 1; patched there:"
    none = why_there(replace(found, together=[0.49, 0.1]))
    assert none == "nowhere do the words that differ carry half of the answer; patched after layer 0:"


def test_patching_one_place_is_what_a_plain_pass_gives(smollm2: Model) -> None:
    _, source = plain_forward(smollm2, prompt(smollm2, ITALY).ids)

    def swap(layer: int, position: int, vector: Any) -> Any:
        return source[10][3] if (layer, position) == (10, 3) else vector

    result = patched(smollm2, ITALY, into=["10.stream"], position="3")
    matches(result, plain_forward(smollm2, prompt(smollm2, FRANCE).ids, stream=swap)[0])


def test_italy_for_france_moves_the_answer_to_rome(smollm2: Model) -> None:
    result = patched(smollm2, ITALY)
    assert result.next is not None
    assert result.baseline is not None
    assert result.sweep is not None
    assert (result.baseline.next[0].text, result.next[0].text) == (" Paris", " Rome")
    restored = np.asarray(result.sweep.restored)
    assert restored.shape == (30, 5)
    assert result.sweep.differing == [3]
    # France's own place carries the answer up to layer 22; from layer 23 on it is the last position that does.
    assert (restored[:23, 3] > 0.9).all()
    assert (restored[23:, 3] < 0.1).all()
    assert (restored[23:, 4] > 0.9).all()
    np.testing.assert_allclose(restored[:, :3], 0, atol=1e-3)
    assert result.change is not None
    assert result.change.experiments[0].where == "22.stream"


@pytest.mark.parametrize("options", [{}, {"into": ["1.stream"]}, {"into": ["0.2", "1.feedforward"]}, {"sweep": "head"}])
def test_patching_a_text_into_itself_changes_nothing(options: dict[str, Any]) -> None:
    ids = [5, 6, 7, 8]
    question = ForwardQuestion(ForwardOptions(), SweepOptions(patch="", **options), source_ids=ids)
    result = forward(open_model(str(GOLDEN / "llama")), question, ids_prompt(*ids))
    assert result.next is not None
    if "sweep" in options:  # No one place stands for all heads: the answer is this text's own.
        assert result.change is None
    else:
        assert result.change is not None and result.change.kl < 1e-6
        assert result.change.largest_logit_change < SINGLE * np.linalg.norm([found.logit for found in result.next])
    if result.sweep is not None:
        assert not np.asarray(result.sweep.restored).any()


@pytest.mark.parametrize(
    "options", [{"ablate": ["3.2"]}, {"steer": ["love - hate@7*1"]}, {"scale": ["5.attention*2"]}], ids=str
)
def test_patching_a_text_into_itself_undoes_no_other_experiment(smollm2: Model, options: dict[str, Any]) -> None:
    """The other text runs under the same experiments, and what is steered where it is patched is steered once."""
    alone = changed(smollm2, **options)
    patch = SweepOptions(patch=FRANCE, into=["7.stream"])
    question = ForwardQuestion(ForwardOptions(top=8), patch, ExperimentOptions(**options), prompt(smollm2, FRANCE).ids)
    both = forward(smollm2, question, prompt(smollm2, FRANCE))
    assert alone.next is not None
    assert both.next is not None
    assert [found.id for found in both.next] == [found.id for found in alone.next]
    assert_close([f.logit for f in both.next], [f.logit for f in alone.next])


def test_a_map_by_gradient_is_of_shares_of_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """(The other's values − this text's) · slopes, as a share of what lies between the two: with slopes that are given
    in place of JAX's."""
    model = open_model(str(GOLDEN / "llama"))
    ids, other, slopes = [5, 6, 7, 8], [5, 9, 7, 8], {f"layers.{at}.output": at - 0.5 for at in range(3)}
    seen = Capture("layers.*.output"), Capture("layers.*.output")
    ends = [model.logits(model.run(text, tap).stream_TD[-1:])[0] for text, tap in zip((ids, other), seen, strict=True)]
    before, after = (float(end_V[20] - end_V[30]) for end_V in ends)

    class Slopes:
        def gradients(self, ids: Any, names: list[str], *_: Any) -> Any:
            values = {name: seen[0][name] for name in names}
            return before, values, {name: np.full_like(values[name], slopes[name[:15]]) for name in names}

    monkeypatch.setattr("llminspect.analysis.sweeping.with_gradients", lambda model: Slopes())
    found = sweep(model, ids, Other(model, other), 3, "stream", (20, 30), [], gradient=True)
    for layer, (name, slope) in enumerate(slopes.items()):
        moved_T = slope * (seen[1][name] - seen[0][name]).sum(axis=-1)
        np.testing.assert_allclose(np.asarray(found.restored)[layer], moved_T / (after - before), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["--all"], "--all has no effect without --lens"),
        (["--into", "0.stream"], "--into has no effect without --patch"),
        (["--lens", "--target", "worlds"], "has no word"),
        (["--lens", "--target", "#77"], "id 77 is outside the vocabulary"),
        (["--patch", "hello !"], "the texts have 1 and 2 tokens"),
        (["--patch", "hello", "--into", "4.stream"], "there is no layer 4"),
        (["--surprise", "--lens"], "does not go with --lens"),
        (["--perplexity", "--at", "0"], "does not go with --at"),
        (["--surprise", "--patch", "hello"], "does not go with --patch"),
        (["--surprise", "--target", "hello"], "not --target"),
        (["--perplexity", "--save", "x.json"], "nothing to save"),
        (["--surprise", "--window", "1"], "--window 1 is not possible"),
        (["--ablate", "0.attention"], "has no attention"),
        (["--ablate", "what"], "is not a part of the model"),
        (["--ablate", ""], "is not a part of the model"),
        (["--ablate-with", "mean"], "--ablate-with has no effect without --ablate"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], written: str) -> None:
    ran = called("forward", "world", "--model", "toy", *arguments)
    assert ran.code == 2
    assert written in ran.err
    assert len(ran.err.splitlines()) == 1
