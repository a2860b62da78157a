"""`attend` on the toy, where every number can be checked by hand, and on SmolLM2 against recorded numbers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.attend import Keeping, attend, with_mask
from llminspect.analysis.attention_arrays import attention_arrays
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.ranges import parse_choice
from llminspect.arguments.words import find_word
from llminspect.commands.attend.view import render
from llminspect.core.attention_measures import MEASURES
from llminspect.errors import UsageError
from llminspect.files.npz import write_npz
from llminspect.model.params import Params
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token
from tests.closeness import assert_close
from tests.commands.attending import ALICE, CAT, prompt, result_of
from tests.conftest import ROOT
from tests.render.samples import lines, shown
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.conftest import Program


def test_the_head_of_the_toy_by_hand() -> None:
    (head,) = result_of().heads
    np.testing.assert_allclose(head.weights[1], CAT, rtol=1e-6)
    np.testing.assert_allclose(head.weights.sum(axis=1), 1, rtol=1e-6)


def test_chosen_layers_and_heads_come_once_and_in_their_order() -> None:
    model = open_model(str(ROOT / "tests/golden/llama"))
    text = prompt_of_ids([5, 6, 7], None, None)
    heads = attend(model, AttendOptions(layer="1,0,1", head="3,0-1,1"), text).heads
    assert [(head.layer, head.head) for head in heads] == [(layer, head) for layer in (0, 1) for head in (0, 1, 3)]
    mean = attend(model, AttendOptions(layer="1,1", head="0,2,0", mean=True), text).mean
    once = attend(model, AttendOptions(layer="1", head="0,2"), text).heads
    assert mean is not None
    np.testing.assert_allclose(mean, (once[0].weights + once[1].weights) / 2, rtol=1e-6)


def test_a_causal_mask_hides_what_comes_later() -> None:
    model = with_mask(open_model("toy-attention"), "causal")
    (head,) = result_of(model=model).heads
    np.testing.assert_array_equal(np.triu(head.weights, 1), 0)
    np.testing.assert_allclose(head.weights[1, :2], [math.e / (math.e + 1), 1 / (math.e + 1)], rtol=1e-6)
    query = result_of(model=model, query="cat").query
    assert query is not None
    np.testing.assert_array_equal(np.isfinite(query.masked), [True, True, False, False])
    assert "hidden: by the mask" in shown(render(result_of(model=model, query="cat")))


@pytest.mark.parametrize(
    ("text", "expected"), [("3", [3]), ("0,3-5", [0, 3, 4, 5]), ("5,1-2,1", [1, 2, 5]), (None, None)]
)
def test_layers_are_chosen_by_numbers_and_ranges(text: str | None, expected: list[int] | None) -> None:
    assert parse_choice(text, "layer", 6) == expected


@pytest.mark.parametrize("text", ["6", "0-6", "x", "", "-1", "1-", "3-1", "1,,2", "٣"])
def test_layers_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_choice(text, "layer", 6)


def test_words_are_found_by_their_tokens() -> None:
    model = open_model("toy-attention")
    twice = prompt(model, "A cat sat. A cat sat.")
    assert find_word(twice, "5", "--query") == [5]
    with pytest.raises(UsageError, match="2 times") as refused:
        find_word(twice, "cat", "--query")
    assert "1, 5" in str(refused.value.hint)
    with pytest.raises(UsageError, match="not in the text"):
        find_word(twice, "dog", "--query")
    assert find_word(prompt(model, "A cat sat."), "sat.", "--query") == [2, 3]


def test_a_word_of_several_tokens_is_all_of_them(smollm2: Model) -> None:
    text = prompt(smollm2, "Mr Dursley liked antidisestablishmentarianism.")
    place = find_word(text, "Dursley", "--query")
    assert len(place) > 1
    assert "".join(text.labels[index] for index in place).strip() == "Dursley"


def test_a_word_is_found_where_the_vocabulary_spells_it_otherwise() -> None:
    tokens = [
        Token(0, b"[CLS]", None, None, True),
        Token(1, b"al", 0, 2),
        Token(2, b"##ice", 2, 5),
        Token(3, b"s", 6, 7),
    ]
    assert find_word(Prompt("Alice s", tokens), "Alice", "--query") == [1, 2]
    assert find_word(Prompt("Alice s", tokens), "alice", "--query") == [1, 2]
    with pytest.raises(UsageError, match="not in the text"):
        find_word(Prompt("Alice s", tokens), "lice", "--query")


# -- SmolLM2 -----------------------------------------------------------------------------------------------------------


def test_weights_are_those_recorded(smollm2: Model) -> None:
    recorded = json.loads((ROOT / "tests" / "golden" / "smollm2.json").read_text(encoding="utf-8"))
    for entry in recorded["forward"]:
        for place, row in entry["attention_last_query"].items():
            layer, head = place.split(".")
            (found,) = result_of(entry["text"], smollm2, layer=layer, head=head).heads
            assert_close(found.weights[-1], row)


def test_heads_7_and_8_of_layer_18_are_sinks(smollm2: Model) -> None:
    result = result_of(ALICE, smollm2, layer="18", head="7-8")
    for head in result.heads:
        assert head.habit == "sink"
        assert head.weights[:, 0].min() > 0.99


def test_the_overview_agrees_with_heads_looked_at_alone(smollm2: Model) -> None:
    overview = result_of(ALICE, smollm2).overview
    assert overview is not None
    alone = result_of(ALICE, smollm2, layer="0,11", head="1,4").heads
    for head in alone:
        assert overview.habits[head.layer][head.head] == head.habit
        for name, value in head.measures.items():
            np.testing.assert_allclose(overview.measures[name][head.layer, head.head], value)  # type: ignore[index]


def test_the_overview_s_example_is_the_strongest_of_its_habit(smollm2: Model) -> None:
    overview = result_of(ALICE, smollm2).overview
    assert overview is not None
    previous_LH = overview.measures["previous"]
    layer, head = divmod(int(previous_LH.argmax()), 9)
    assert overview.habits[layer][head] == "previous"
    written = " ".join(shown(render(result_of(ALICE, smollm2)), 80).split())
    assert f"previous {sum(row.count('previous') for row in overview.habits)} {layer}.{head}" in written
    assert f"To see what it looks at: --layer {layer} --head {head}" in written


def test_a_pass_goes_no_further_than_it_must_and_keeps_one_head(smollm2: Model) -> None:
    visited: list[int] = []

    class Watched(Params):
        def layer(self, index: int, stack: str = "layers") -> Mapping[str, Array]:
            visited.append(index)
            return super().layer(index, stack)

    watched = replace(smollm2, params=Watched(smollm2.params.arrays))
    (head,) = result_of(ALICE, watched, layer="3", head="1").heads
    assert max(visited) == 3
    assert head.weights.base is None


# -- The command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--layer", "0", "--head", "0", "--show", "weights,scores,scaled,masked,queries,keys,values,added"),
        ("--query", "cat"),
        ("--query", "2", "--mask", "causal"),
        ("--find", "sat->cat", "--control", "A cat sat."),
        ("--rollout", "--mean"),
        ("--contributions",),
    ],
)
def test_json_keeps_the_contract(called: Program, arguments: tuple[str, ...]) -> None:
    ran = called("attend", "A cat sat.", *arguments, "--model", "toy-attention", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert_fits(ran.json, "attend")
    assert ran.json["heads"][0].keys() >= {"layer", "head", "weights"}
    assert (ran.json["n_layers"], ran.json["n_heads"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (("--layer", "1"), "there is no layer 1 (the only layer is 0)"),
        (("--head", "0-2"), "there is no head 2 (the only head is 0)"),
        (("--query", "dog"), "'dog' is not in the text (its tokens are 0:A 1:cat 2:sat 3:.)"),
        (("--query", "4"), "'4' is not in the text"),
        (("--find", "cat"), "--find cannot read 'cat'"),
        (("--find", "cat->cat"), "are the same token"),
        (("--find", "cat->sat", "--mask", "causal"), "'cat' cannot see 'sat', which comes after it"),
        (("--control", "A"), "--control goes with --find"),
        (("--query", ""), "--query is empty"),
        (("--layer", "0", "--measure", "sink"), "--measure colours the overview"),
        (("--rollout", "--measure", "sink"), "--measure colours the overview"),
        (("--show", "weigths", "--layer", "0"), "--show does not know 'weigths'"),
        (("--show", "scores"), "--show needs a head"),
        (("--show", "scores", "--query", "cat"), "--show and --query do not go together (ask for one at a time)"),
        (("--model", "toy"), "has no attention"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: tuple[str, ...], written: str) -> None:
    given = ("hello", *arguments) if "toy" in arguments else ("A cat sat.", "--model", "toy-attention", *arguments)
    ran = called("attend", *given)
    assert (ran.code, ran.out) == (2, "")
    assert written in ran.err
    assert ran.err.count("\n") == 1


def test_json_of_too_many_weights_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="too many for JSON") as refused:
        result_of(keeping=Keeping(True, 15))
    assert "--layer" in str(refused.value.hint)
    assert "--save" in str(refused.value.hint)
    assert result_of(keeping=Keeping(True, 15, True)).heads == []
    assert len(result_of(keeping=Keeping(True, 16)).heads) == 1


def test_save_streams_the_heads_that_were_chosen(smollm2: Model, tmp_path: Path) -> None:
    result = result_of(ALICE, smollm2, layer="3,18", head="2,7", keeping=Keeping(True))
    with (tmp_path / "a.npz").open("wb") as file:
        write_npz(file, attention_arrays(smollm2, AttendOptions(layer="3,18", head="2,7"), result))
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["weights"].shape == (2, 2, 5, 5)
        np.testing.assert_array_equal(saved["layers"], [3, 18])
        np.testing.assert_array_equal(saved["heads"], [2, 7])
        kept = np.stack([head.weights for head in result.heads]).reshape(2, 2, 5, 5)
        np.testing.assert_array_equal(saved["weights"], kept)


def test_save_writes_full_weights(called: Program, tmp_path: Path) -> None:
    ran = called("attend", "A cat sat.", "--model", "toy-attention", "--save", str(tmp_path / "a.npz"))
    assert ran.code == 0
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["weights"].shape == (1, 1, 4, 4)
        assert saved["weights"].dtype == np.float32
        np.testing.assert_allclose(saved["weights"][0, 0, 1], CAT, rtol=1e-6)


def test_a_head_of_two_habits_is_given_both(called: Program) -> None:
    out = called("attend", "A cat sat.", "--model", "toy-attention").out
    assert "\nprevious: looks at the token before\nnext: looks at the next token\nentropy" in out


@pytest.mark.parametrize(
    ("arguments", "left_out"),
    [(("--model", "toy-attention"), {"same", "induction"}), (("--layer", "0"), {"next", "same", "induction"})],
)
def test_what_is_measured_of_heads_is_explained_below(
    called: Program, arguments: tuple[str, ...], left_out: set[str]
) -> None:
    written = " ".join(called("attend", "A cat sat.", *arguments).out.split())
    explained = {name for name, measure in MEASURES.items() if f"{name}: {measure.definition}" in written}
    assert explained == set(MEASURES) - left_out


def test_the_help_defines_every_measure(called: Program) -> None:
    written = " ".join(called("attend", "--help", COLUMNS="100").out.split())
    for name, measure in MEASURES.items():
        assert f"{name}: {measure.definition}" in written


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layer": "3", "head": "1"},
        {"layer": "0-2"},
        {"layer": "5", "head": "2", "show": "weights,scores,masked,queries,values,added,capped"},
        {"query": "her"},
        {"find": "her->Alice"},
        {"rollout": True},
        {"contributions": True},
        {"mean": True},
    ],
)
def test_renderings_fit_their_width(smollm2: Model, options: dict[str, Any], columns: int) -> None:
    rendering = render(result_of(ALICE, smollm2, **options))
    assert max(map(len, lines(rendering, columns))) <= columns
    assert "\x1b[" in shown(rendering, columns, "truecolor")
