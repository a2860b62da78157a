"""`forward --score`: how probable whole continuations are, held to the surprisal of the whole text."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest

import llminspect
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.fuzz.samples import llama, vocabulary
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.analysis.continuations import Continuation
    from llminspect.model.opened import Model
    from tests.conftest import Program

CAPITAL = "The capital of France is"
WAYS = [" Paris", " Saint-Germain", " London", "Paris"]


def scores(text: Any, model: Model, **options: Any) -> list[Continuation]:
    found: list[Continuation] | None = llminspect.forward(text, model, **options).scores
    assert found is not None
    return found


def chances(text: Any, model: Model, **options: Any) -> list[float]:
    """ln p of each token of the text after the first."""
    found = llminspect.surprise(text, model, **options)
    assert found is not None
    return [math.log(prob) for prob in found.probs if prob is not None]


def by_surprise(text: str, found: Continuation, model: Model) -> list[float]:
    """The slow way: the whole text in one pass, and of its tokens those at the end."""
    return chances(text, model)[-len(found.ids) :]


def test_each_continuation_scores_as_the_whole_text_does(smollm2: Model) -> None:
    ways = scores(CAPITAL, smollm2, score=WAYS)
    assert [found.text for found in ways] == [" Paris", " London", "Paris", " Saint-Germain"]
    for found in ways:
        assert [token.logprob for token in found.tokens] == pytest.approx(
            by_surprise(CAPITAL + found.text, found, smollm2), abs=2e-4
        )
        assert found.logprob == pytest.approx(sum(token.logprob for token in found.tokens))
        assert found.mean_logprob * len(found.ids) == pytest.approx(found.logprob)
    assert [len(found.ids) for found in ways] == [1, 1, 1, 4]


@pytest.mark.parametrize("family", ["llama", "jamba", "rwkv7", "gemma3", "falcon_h1"])
def test_continuations_of_any_length_go_through_together(family: str) -> None:
    """Several at once after a text that was read once; caches and states are those of each alone."""
    model, front = open_model(str(FOLDER / family)), [3, 4, 5, 6, 7]
    given = ["8", "9,10,11", "12,13,14", "15"]
    together = scores(front, model, score=given)
    for found in together:
        (alone,) = scores(front, model, score=found.text)
        whole = chances([*front, *found.ids], model)[len(front) - 1 :]
        assert found.logprob == pytest.approx(alone.logprob, abs=1e-5) == pytest.approx(sum(whole), abs=1e-5)
    assert sorted(found.text for found in together) == sorted(given)


def test_what_a_tokenizer_puts_in_front_stays(tmp_path: Path) -> None:
    words = vocabulary("llama", ["▁b", "▁H"])
    (tmp_path / "small.gguf").write_bytes(llama(words, len(dict(words)["tokenizer.ggml.tokens"]), layers=1).build())
    model = open_model(str(tmp_path / "small.gguf"))
    (found,) = scores("H b", model, score=" H b")
    front = model.tokenizer.wrap([]) if model.tokenizer else []
    assert len(front) == 1 and len(found.ids) == 2
    assert found.logprob == pytest.approx(sum(by_surprise("H b H b", found, model)), abs=1e-5)
    (bare,) = scores("H b", model, score=" H b", special=False)
    assert abs(bare.logprob - found.logprob) > 1e-4


def test_of_an_encoder_decoder_it_is_the_target_that_goes_on(called: Program) -> None:
    out = called("forward", "--ids", "3,4,5", "--score", "6", "--model", str(FOLDER / "t5")).out
    assert out.split()[:3] == ["3│4│5", "becomes", "⟦0⟧"]
    refused = called("forward", "--ids", "3,4,5", "--score", "", "--model", str(FOLDER / "t5"))
    assert refused.err == "llminspect: --score '' gives no tokens (give at least one id)\n"
    model, source = open_model(str(FOLDER / "t5")), [3, 4, 5]
    first, second = scores(source, model, score=["6,7", "8"], target_ids=[0, 9])
    longer = next(found for found in (first, second) if found.ids == [6, 7])
    steps = []
    for so_far, then in (([], 6), ([6], 7)):
        following = llminspect.forward(source, model, target_ids=[0, 9, *so_far], top=99).next or []
        steps += [math.log(token.prob) for token in following if token.id == then]
    assert longer.logprob == pytest.approx(sum(steps), abs=1e-5)


def test_where_text_and_continuation_share_a_token_both_are_scored_from_there(called: Program) -> None:
    out = called("forward", CAPITAL + " ", "--score", "Paris", "--score", "London", "--json")
    document = json.loads(out.out)
    assert [found["ids"] for found in document["scores"]] == [[7042], [4528]]
    assert "scored from ' ' on" in out.err
    (tal,) = json.loads(called("forward", "The capi", "--score", "tal", "--json").out)["scores"]
    assert [token["text"] for token in tal["tokens"]] == [" capital"]
    assert "·capital" in called("forward", "The capi", "--score", "tal").out
    refused = called("forward", CAPITAL, "--score", " Paris", "--score", "n't")
    assert (refused.code, refused.out) == (2, "") and '"n\'t" changes the last tokens of the text' in refused.err


def test_an_experiment_and_a_chat_are_scored_as_they_stand(smollm2: Model) -> None:
    plain, changed = (
        scores(CAPITAL, smollm2, score=" Paris", ablate=ablated)[0].logprob for ablated in (None, "15.attention")
    )
    without = chances(CAPITAL + " Paris", smollm2, ablate="15.attention")[-1]
    (found,) = scores(CAPITAL, smollm2, score=" Paris", ablate="15.attention")
    assert found.baseline_logprob == pytest.approx(plain, abs=1e-5)
    assert changed == pytest.approx(without, abs=1e-4) and abs(changed - plain) > 0.1
    ways = scores("What is it?", smollm2, chat=True, score=["<|im_end|>", "A cat."])
    spelled = next(found for found in ways if found.text == "<|im_end|>")
    assert len(spelled.ids) > 1, "a continuation that spells a special token is text"
    (end,) = scores("What is it?", smollm2, chat=True, score="<|im_end|>", parse="special")
    likely = llminspect.forward("What is it?", smollm2, chat=True, top=49152).next or []
    assert end.ids == [2]
    assert end.logprob == pytest.approx(next(math.log(token.prob) for token in likely if token.id == 2), abs=1e-5)
    with pytest.raises(UsageError, match=r"special token <\|im_end\|> at byte 0"):
        scores("What is it?", smollm2, chat=True, score="<|im_end|>", parse="error")
    with pytest.raises(UsageError, match="parse has no effect with"):
        llminspect.forward("What is it?", smollm2, chat=True, parse="special")


def test_the_tokens_of_continuations_have_the_decimals_of_the_sums(called: Program) -> None:
    out = called("forward", CAPITAL, "--score", " Saint-Germain", "--score", " Paris", COLUMNS="80").out
    tokens = out.partition("its tokens, each")[2]
    written = re.findall(r"-\d+\.(\d+)", tokens)
    assert len(written) == 5 and {len(decimals) for decimals in written} == {3}
    assert len(re.findall(r"(?<=-)\d\.\d{3}\b", out.partition("log p:")[0])) == 4


def test_a_file_of_continuations_and_the_picture(called: Program, tmp_path: Path) -> None:
    lines = tmp_path / "ways.txt"
    lines.write_text(" Paris\n\n London\n Saint-Germain\n")
    out = called("forward", CAPITAL, "--scores", str(lines), "--score", " Rome", "--top", "3", COLUMNS="80").out
    assert (
        out.count("·London") == 1
        and "of these" in out
        and "Germ" not in out
        and "98." in out
        and "its tokens, each" not in out
    )
    short = json.loads(called("forward", CAPITAL, "--scores", str(lines), "--top", "1", "--json").out)
    assert [round(found["share"], 2) for found in short["scores"]] == [0.98]
    assert short["notes"] == ["2 continuations more are not shown (--top)"]
    assert "--top 0" in called("forward", CAPITAL, "--score", " a", "--top", "0").out
    (tmp_path / "none.txt").write_text("\n")
    for given, words in (
        (("--scores", str(tmp_path / "none.txt")), "has no lines"),
        (("--scores", str(tmp_path / "absent.txt")), "absent.txt"),
        (("--score", ""), "gives no tokens"),
        (("--score", "a", "--target", "b"), "use --score alone"),
        (("--score", "a", "--lens"), "does not go with --lens"),
        (("--score", "a", "--save", str(tmp_path / "x.npz")), "has no arrays to save"),
    ):
        refused = called("forward", CAPITAL, *given)
        assert refused.code in (1 if "absent" in words else 2,) and words in refused.err and not refused.out


def test_a_model_that_sees_both_ways_has_no_such_score() -> None:
    with pytest.raises(UsageError, match="sees the tokens that come after"):
        llminspect.forward([3, 4], str(FOLDER / "bert"), score="5")


def test_continuations_from_standard_input(called: Program, tmp_path: Path) -> None:
    ran = called("forward", CAPITAL, "--scores", "-", "--score", " Rome", "--json", stdin=" Paris\n\n London")
    assert sorted(found["text"] for found in ran.json["scores"]) == [" London", " Paris", " Rome"]
    (tmp_path / "text").write_text("world")
    ran = called("forward", "--file", str(tmp_path / "text"), "--scores", "-", "-m", "toy", "--json", stdin="!")
    assert [found["text"] for found in ran.json["scores"]] == ["!"]
    for given in ((), ("-",), ("--ids", "-"), ("--lines",)):
        refused = called("forward", *given, "--scores", "-", "-m", "toy", stdin="world\n")
        assert refused.code == 2 and "are both read from standard input" in refused.err
    refused = called("forward", "world", "--scores", "-", "-m", "toy", stdin="\n")
    assert refused.code == 2 and "--scores - has no lines" in refused.err


def test_a_continuation_that_cannot_be_read_is_named_by_its_line(called: Program) -> None:
    for given, lines, words in (
        (("world", "-m", "toy"), "hello\n\nmoon\n", "line 2 (from 0) of --scores: the model toy has no word 'moon'"),
        (("--ids", "1", "-m", "toy"), "2\n1,,2\n", "line 1 (from 0) of --scores: not a list of ids: '1,,2'"),
        (("--ids", "1", "-m", "toy"), "2\n3\n", "line 1 (from 0) of --scores: id 3 "),
    ):
        refused = called("forward", *given, "--scores", "-", stdin=lines)
        assert refused.code == 2 and words in refused.err and not refused.out
    assert "--score: the model toy has no" in called("forward", "world", "-m", "toy", "--score", "moon").err


@pytest.mark.parametrize("none", [[], ()])
def test_no_continuations_are_no_question(none: Any) -> None:
    with pytest.raises(UsageError, match="--score is empty"):
        llminspect.forward("world", "toy", score=none)
