"""What the pictures of `--over` say: measures by their whole names, what was done to the model, the ranking first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llminspect.analysis.over import OverPlace
from llminspect.commands.forward.over import _rows
from tests.closeness import assert_close

if TYPE_CHECKING:
    import pytest

    from tests.conftest import Program

TEXTS = ("Mr Toad met Mrs Hen. Mrs", "Mrs Toad met Mr Hen. Mr")
ALONE, RECORDS = (
    "".join(json.dumps({"text": text, "target": "Hen", **more}) + "\n" for text in TEXTS)
    for more in ({}, {"versus": "Toad"})
)
OVER = ("--over", "-", "--model", "toy-induction")


def test_a_lead_is_called_one_and_changes_stand_in_the_heading(called: Program) -> None:
    changed = called("forward", *OVER, "--attribution", "--ablate", "0.1", stdin=RECORDS).out
    assert changed.splitlines()[0].endswith(": ablate 0.1")
    assert "logit of the target - logit of the versus" in changed
    plain = called("forward", *OVER, "--attribution", stdin=ALONE).out
    assert "logit of the target" in plain and "versus" not in plain and "ablate" not in plain


def test_each_sentence_of_the_key_ends_before_what_is_left_out(called: Program) -> None:
    out = " ".join(called("forward", *OVER, "--ablate", "0.1", stdin=RECORDS, COLUMNS="60").out.split())
    assert "without an upper end. Logit change:" in out and "if they fall more. Left out at this width:" in out


def test_what_gradients_estimate_is_called_an_estimate(called: Program) -> None:
    call = ("forward", *OVER, "--ablate", "each")
    assert "estimated" not in called(*call, stdin=RECORDS).out
    assert called(*call, "--gradient", stdin=RECORDS).out.splitlines()[0].endswith(", changes estimated from gradients")
    patched = "".join(json.dumps({"text": TEXTS[0], "patch": patch}) + "\n" for patch in (TEXTS[1], TEXTS[1]))
    out = called("forward", *OVER, "--sweep", "head", "--gradient", stdin=patched).out
    assert out.splitlines()[0].endswith(": shares estimated from gradients")


def test_beside_estimates_exact_numbers_are_called_computed_and_have_their_correlation(called: Program) -> None:
    how = ("--model", "toy-induction", "--ablate", "each", "--gradient", "--exact")
    out = called("forward", "--over", "-", *how, stdin=RECORDS).out
    assert out.splitlines()[0].endswith(", changes computed exactly")
    assert "what gradients estimate" in " ".join(out.split())
    places = called("forward", "--over", "-", *how, "--json", stdin=RECORDS.splitlines()[0]).json["places"]
    (found,) = (place for place in places if place["measure"].startswith("correlation"))
    alone = called("forward", TEXTS[0], *how, "--target", "Hen", "--versus", "Toad", "--json").json
    assert_close(found["mean"], alone["silencing"]["agreement"]["correlation"])


def test_a_measure_has_its_whole_name_and_its_ranking_comes_before_the_map(called: Program) -> None:
    out = called("attend", *OVER, "--measure", "previous", stdin=RECORDS).out
    assert "weight on the token before" in out
    assert out.index("\nplace ") < out.index("layers down")


def test_what_a_step_adds_is_of_its_layer_and_what_a_lens_reads_is_after_it(
    called: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llminspect.commands.forward.over.CURVE_FROM", 2)
    of_steps = called("forward", *OVER, "--attribution", stdin=RECORDS).out
    assert "→ layer" in of_steps and "→ after layer" not in of_steps
    assert "→ after layer" in called("forward", *OVER, "--lens", stdin=RECORDS).out


def test_a_measure_without_numbers_says_why(called: Program) -> None:
    found = called("attend", *OVER, "--find", "Mrs->Hen", stdin=json.dumps({"text": "Mr Toad met Mrs Hen. Mrs"}) + "\n")
    assert "in no text does another token see the key" not in found.out
    last = json.dumps({"text": "Mr Toad met Mrs Hen"}) + "\n"
    alone = called("attend", *OVER, "--find", "Hen->Mrs", stdin=last).out
    assert "in no text does another token see the key, so there is nothing to compare the weight with" in " ".join(
        alone.split()
    )


def test_an_interval_alone_begins_at_its_number() -> None:
    of = OverPlace("logit", 9.4, 3.0, 8.0, 10.8, 20)
    (alone,) = _rows([("logit", of)])
    assert alone == ["logit", "9.4", "8.0 … 10.8", "3.0", 20]
    assert [row[2] for row in _rows([("logit", of), ("other", of)])] == [" 8.0 … 10.8"] * 2


def test_std_is_explained_where_it_is_shown_alone(called: Program) -> None:
    one = json.dumps({"text": "Mr Toad met Mrs Hen. Mrs"}) + "\n"
    key = "std: the standard deviation"
    assert key not in called("attend", *OVER, "--measure", "previous", stdin=one).out
    assert key in called("attend", *OVER, "--measure", "previous", stdin=one * 2).out
