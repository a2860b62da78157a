"""`circuit --over`: scores are means over the pairs, shares those of the mean effect, and bad records are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.circuit_scores import contrast
from llminspect.errors import UserError
from llminspect.opening import open_model
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program

LLAMA = str(Path(__file__).parent.parent / "golden" / "llama")
PAIRS = [([3, 1, 4, 1, 5, 2], [3, 1, 6, 1, 5, 2]), ([7, 1, 4, 9], [7, 8, 4, 9]), ([2, 2, 4, 8], [2, 3, 4, 8])]
ANSWERS = [(5, 9), (11, 4), (5, 20)]
RECORDS = [
    {"clean": clean, "corrupt": corrupt, "target": target, "versus": versus}
    for (clean, corrupt), (target, versus) in zip(PAIRS, ANSWERS, strict=True)
]
TOADS = [
    {"clean": "Mr Toad met Mrs Hen. Mr", "corrupt": "Mrs Toad met Mr Hen. Mr"},
    {"clean": "Mrs Hen. Mr Toad met Mrs", "corrupt": "Mr Hen. Mrs Toad met Mrs", "target": "Hen", "versus": "Toad"},
]


def over(records: Any, **options: Any) -> Any:
    return llminspect.over("circuit", records, LLAMA, **{"controls": 2, "keep": 0.6, **options})


def test_scores_are_the_means_of_those_of_each_pair() -> None:
    whole = over(RECORDS)
    alone = [
        llminspect.circuit(clean, corrupt, LLAMA, target=target, versus=versus, controls=1)
        for (clean, corrupt), (target, versus) in zip(PAIRS, ANSWERS, strict=True)
    ]
    np.testing.assert_allclose(
        whole.scores, np.mean([np.asarray(one.scores) for one in alone], axis=0), rtol=1e-5, atol=1e-8
    )
    assert whole.difference == pytest.approx(np.mean([one.difference for one in alone]))
    assert whole.corrupt_difference == pytest.approx(np.mean([one.corrupt_difference for one in alone]))
    assert [pair.difference for pair in whole.pairs] == pytest.approx([one.difference for one in alone])
    assert whole.over.count == 3 and whole.text is None and whole.target is None


def test_faithfulness_is_the_share_of_the_mean_effect() -> None:
    whole = over(RECORDS)
    kept_RU = np.zeros(whole.scores.shape, bool)
    for edge in whole.edges:
        kept_RU[whole.readers.index(edge["to"]), whole.writers.index(edge["from"])] = True
    model = open_model(LLAMA)
    pairs = [contrast(model, *texts, answers) for texts, answers in zip(PAIRS, ANSWERS, strict=True)]
    effects = [pair.whole - pair.nothing for pair in pairs]
    kept = [pair.kept(kept_RU[None])[0] for pair in pairs]
    assert whole.faithfulness == pytest.approx(sum(kept) / sum(effects), abs=1e-5) and whole.faithfulness >= 0.6
    shares = [one / effect for one, effect in zip(kept, effects, strict=True)]
    assert [pair.faithfulness for pair in whole.pairs] == pytest.approx(shares, abs=1e-5)
    rest = [pair.kept((pair.wiring.possible_RU & ~kept_RU)[None])[0] for pair in pairs]
    assert whole.completeness == pytest.approx(1 - sum(rest) / sum(effects), abs=1e-5)


def test_one_record_is_the_question_of_one_pair() -> None:
    one = llminspect.circuit(*PAIRS[0], LLAMA, target=5, versus=9, controls=2, keep=0.6)
    same = over([{"clean": PAIRS[0][0], "corrupt": PAIRS[0][1]}], target=5, versus=9)
    assert (same.edges, same.faithfulness, same.curve) == (one.edges, one.faithfulness, one.curve)
    assert same.pairs[0].faithfulness == pytest.approx(one.faithfulness)


def test_a_file_gives_a_picture_json_and_a_page(called: Program, tmp_path: Path) -> None:
    file, page = tmp_path / "pairs.jsonl", tmp_path / "page.html"
    file.write_text("".join(json.dumps(record) + "\n" for record in TOADS))
    words = ("circuit", "--over", str(file), "--model", "toy-induction", "--controls", "1")
    shown = called(*words)
    assert "What tells the texts of 2 pairs apart" in shown.out and "Mrs Hen. Mr Toad met Mrs" in shown.out
    assert "clean, corrupt: logit of target - logit of versus after that text" in " ".join(shown.out.split())
    assert "2 pairs, each 6 gradients and at most" in shown.err
    document = called(*words, "--json", "--save", str(page), "--interactive").json
    assert_fits(document, "circuit")
    assert document["over"] == {"count": 2, "file": str(file)} and "tokens" not in document
    assert [pair["target"]["text"] for pair in document["pairs"]] == ["Toad", "Hen"]
    assert document["page"]["heads"] == [] and len(document["edges"]) == 3
    written = page.read_text("utf-8")
    assert len(json.loads(written.split('id="data">')[1].split("</script>")[0])["pairs"]) == 2


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"clean": [1, 2]}, "record 1: it has no corrupt"),
        ({"clean": "", "corrupt": [1]}, "record 1: it has no clean"),
        ({"clean": [1, True], "corrupt": [1, 2]}, "record 1: it has no clean"),
        ({"clean": [1, 2], "corrupt": [1, 2, 3]}, "record 1: circuit compares position by position"),
        ({"clean": [1, 2], "corrupt": [1, 99999]}, "record 1: .*outside the vocabulary"),
        ({"clean": [1, 2], "corrupt": [1, 3], "target": [5]}, "record 1: its target is not a text or a whole number"),
        ({"clean": [1, 2], "corrupt": [1, 3], "target": "#5", "versus": 5}, "record 1: target and versus are the same"),
        ({"clean": "a", "corrupt": "b"}, "record 1: this model comes without a tokenizer"),
        ({"clean": [1, 2], "corrupt": [1, 3], "nope": 1}, "record 1: there is no 'nope'"),
    ],
)
def test_a_record_that_cannot_be_done_is_named(record: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        over([RECORDS[0], record])


def test_more_pairs_than_there_is_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.analysis.circuit_over.MOST", 60_000)
    with pytest.raises(UserError, match=r"write in 30 texts takes .* GB"):
        over(RECORDS * 10)


@pytest.mark.parametrize("other", [("a", "b"), ("--ids",)])
def test_over_takes_the_place_of_the_texts(called: Program, other: tuple[str, ...]) -> None:
    ran = called("circuit", *other, "--over", "pairs.jsonl", "--model", "toy-induction")
    assert ran.code == 2 and "--over takes the place of" in ran.err
