"""What the pictures of `--over` say: measures by their whole names, what was done to the model, the ranking first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def test_what_gradients_estimate_is_called_an_estimate(called: Program) -> None:
    call = ("forward", *OVER, "--ablate", "each")
    assert "estimated" not in called(*call, stdin=RECORDS).out
    assert "estimated from gradients" in called(*call, "--gradient", stdin=RECORDS).out


def test_a_measure_has_its_whole_name_and_its_ranking_comes_before_the_map(called: Program) -> None:
    out = called("attend", *OVER, "--measure", "previous", stdin=RECORDS).out
    assert "weight on the token before" in out
    assert out.index("\nplace ") < out.index("layers down")
