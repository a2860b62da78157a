"""What `generate` writes: on a terminal, as a stream, as JSON, without a tokenizer, and of what cannot be done."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from llminspect.analysis.candidates import ProbableToken
from llminspect.analysis.completion import CompletionListener, StepRecord
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.arguments.generate import GenerateOptions
from llminspect.commands.generate.view import watch_view
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from llminspect.text.text_stream import TextStream

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
RUNS = {
    "greedy": ["--model", "toy"],
    "beams": ["--model", "toy", "--beams", "2"],
    "samples": ["--model", "toy", "--n", "2", "--seed", "1"],
    "tree": ["--model", "toy", "--beams", "2", "--tree", "1"],
    "watched": ["--model", "toy", "--watch"],
    "looked up": ["--model", "toy", "--lookup", "2"],
    "translated": ["--model", str(GOLDEN / "marian"), "--ids", "7,31", "--beams", "2"],
}


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.wrap(model.tokenizer.encode(text)))


def _all_places(text: str, part: str) -> list[int]:
    return [place for place in range(len(text)) if text.startswith(part, place)]


def widths(out: str) -> list[int]:
    return [len(line.rstrip()) for line in out.splitlines()]


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=2), st.data())
def test_a_stream_gives_whole_characters_and_nothing_after_a_stop(text: str, stops: list[str], data: Any) -> None:
    raw = text.encode("utf-8", "surrogatepass") if text.isprintable() else text.encode("utf-8", "replace")
    stream, given = TextStream(stops), []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        given.append(stream.feed(raw[:size]))
        raw = raw[size:]
    given.append(stream.finish())
    whole = text if text.isprintable() else text.encode("utf-8", "replace").decode()
    places = [place for stop in stops if (place := whole.find(stop)) >= 0]
    assert "".join(given) == stream.text
    if "\ufffd" not in whole:
        assert "\ufffd" not in "".join(given)
    if not places:
        assert stream.text == whole
    else:
        assert stream.stopped
        # Whichever stop is complete first ends the text; it ends at the beginning of one that is there.
        assert len(stream.text) in {place for stop in stops for place in _all_places(whole, stop)}


def test_what_a_terminal_gets_is_the_text_then_a_line_a_token(called: Program) -> None:
    ran = called("generate", "world", "--model", "toy", "--max-tokens", "2", COLUMNS="80")
    assert ran.code == 0
    assert ran.out.startswith("world!!\n")
    assert "64.8%" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "\x1b" not in ran.out


def test_stream_gives_only_the_text(called: Program) -> None:
    ran = called("generate", "world", "--model", "toy", "--max-tokens", "3", "--stream")
    assert ran.out == "!!!\n"


def test_stream_writes_each_of_several_texts(called: Program) -> None:
    words = ("generate", "world", "--model", "toy", "--max-tokens", "3", "--n", "3", "--seed", "1")
    samples = called(*words, "--json").json["samples"]
    assert called(*words, "--stream").out == "".join(f"{sample['completion']}\n" for sample in samples)


def test_a_stream_never_holds_half_a_character(smollm2: Model) -> None:
    assert smollm2.tokenizer is not None
    text = "🙂 日本 👩‍👧"
    assert any(b"\xf0" in token.data and len(token.data) < 4 for token in smollm2.tokenizer.encode(text))
    words = GenerateQuestion(options=GenerateOptions(max_tokens=len(smollm2.tokenizer.encode_ids(text)), prefix=text))
    given: list[str] = []
    result = generate(smollm2, words, prompt(smollm2, "A cat"), CompletionListener(text=given.append))
    assert result.completion == "".join(given) == text
    assert "\ufffd" not in "".join(given)


def test_without_a_tokenizer_the_ids_are_written_as_they_come(called: Program) -> None:
    words = ("generate", "--model", str(GOLDEN / "llama"), "--ids", "1,2,3", "--max-tokens", "2")
    document = called(*words, "--json").json
    first, second = document["ids"]
    assert (document["prompt"], document["completion"]) == ("", "")
    assert called(*words).out.startswith(f"#1 #2 #3 #{first} #{second}\n")
    assert called(*words, "--stream").out == f" #{first} #{second}\n"
    assert f"#{first} #{second}" in called(*words, "--beams", "2").out


def test_a_full_context_is_not_said_to_be_the_number_of_tokens(called: Program) -> None:
    context = open_model(str(GOLDEN / "gpt2")).config.sizes.context
    ids = ",".join(["5"] * (context - 1))
    words = ("generate", "--model", str(GOLDEN / "gpt2"), "--ids", ids, "--max-tokens", "3")
    document = called(*words, "--json").json
    assert (document["stop"], len(document["ids"]), document["context_full"]) == ("length", 1, True)
    assert called(*words).out.endswith("1 token: the model can hold no more\n")


def test_a_template_stands_between_the_prompt_and_the_completion(called: Program) -> None:
    assert called("generate", "hi", "--chat", "--max-tokens", "1").out.startswith("hi\n\nHello")


def test_nothing_is_shown_of_a_prompt_that_cannot_be_continued(called: Program) -> None:
    ran = called("generate", "hi", "--model", "minilm")
    assert (ran.code, ran.out) == (2, "")


def test_the_bars_of_a_long_text_stay_on_the_terminal() -> None:
    step = StepRecord(0, "end", 0.5, -0.7, [ProbableToken(1, "no", 0.1)], 1.0)
    console = Console(file=io.StringIO(), width=20, height=8)
    console.print(watch_view("a prompt ", "word " * 100 + "end", step))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 8
    assert lines[-2].startswith("end ")
    assert any(line.rstrip().endswith("word end") for line in lines)


def test_json_by_the_contract(called: Program) -> None:
    ran = called("generate", "world", "--model", "toy", "--max-tokens", "2", "--json", "--alternatives", "1")
    document = ran.json
    assert document["prompt"] == "world"
    assert document["prompt_ids"] == [1]
    assert document["ids"] == [2, 2]
    assert document["completion"] == "!!"
    assert document["stop"] == "length"
    assert set(document["steps"][0]) >= {"id", "text", "prob", "logprob", "alternatives"}
    assert len(document["steps"][0]["alternatives"]) == 1
    assert "seed" not in document


def test_a_drawn_text_says_its_seed(called: Program) -> None:
    first = called("generate", "world", "--model", "toy", "--temperature", "1", "--json").json
    seed = str(first["seed"])
    repeated = called("generate", "world", "--model", "toy", "--temperature", "1", "--json", "--seed", seed).json
    assert repeated["ids"] == first["ids"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "-1"], "--temperature"),
        (["--temperature", "nan"], "not a finite number"),
        (["--top-k", "0"], "--top-k"),
        (["--top-p", "2"], "--top-p"),
        (["--stop", ""], "--stop is empty"),
        (["--n", "3", "--temperature", "0"], "the same text each time"),
        (["--beams", "3", "--seed", "1"], "it does not draw"),
        (["--stream", "--watch"], "two different things"),
        (["--stream", "--beams", "2"], "only at the end"),
        (["--watch", "--beams", "2"], "only at the end"),
        (["--watch", "--n", "2"], "does not go with --n"),
        (["--length-penalty", "2"], "has no effect without --beams"),
        (["--length-penalty", "nan", "--beams", "2"], "not a finite number"),
        (["--ablate", "0.0"], "this model has no heads"),
        (["--ablate", "9.feedforward"], "there is no layer 9"),
        (["--ablate-with", "mean"], "--ablate-with has no effect without --ablate"),
        (["--scale", "0.feedforward"], "does not end in a factor"),
        (["--steer", "world"], "does not say words@layer*factor"),
        (["--tree", "20"], "is too large"),
        (["--prefix", "moon"], "has no word"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], message: str) -> None:
    ran = called("generate", "world", "--model", "toy", "--max-tokens", "2", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("name", RUNS)
def test_the_way_through_the_filters_is_shown_wherever_it_is_wanted(name: str, called: Program) -> None:
    options = ["--max-tokens", "2", "--steps", "--no-repeat-ngram", "3"]
    text = [] if "--ids" in RUNS[name] else ["world"]
    ran = called("generate", *text, *RUNS[name], *options)
    assert ran.code == 0, ran.err
    steps = ran.out.count("tokens left")
    assert steps == ran.out.count("no-repeat") == (4 if name == "samples" else 2)


@pytest.mark.parametrize("columns", [48, 60, 80, 120])
def test_no_head_of_a_column_is_broken(columns: int, called: Program) -> None:
    sampling = ["--temperature", "0.8", "--top-k", "9", "--top-p", "0.9", "--min-p", "0.01", "--typical", "0.9"]
    more = ["--repetition-penalty", "1.1", "--no-repeat-ngram", "2", "--seed", "1", "--steps", "--max-tokens", "1"]
    run = ("generate", "--ids", "7,31,5", "--model", str(GOLDEN / "llama"), *sampling, *more)
    out = called(*run, COLUMNS=str(columns)).out
    heads = [line.split() for line in out.splitlines() if line.startswith("token ")]
    names = ["model", "penalty", "no-repeat", "temperature", "top-k", "top-p", "min-p", "typical"]
    assert [name for head in heads for name in head if name != "token"] == names
    assert " drawn at   runners-up" in out and max(widths(out)) <= columns
    assert (len(heads) == 1) == (columns == 120)


@pytest.mark.parametrize("name", ["llama-both-ways", "llama-body", "bert-encoder", "t5-encoder"])
def test_a_model_that_only_gives_vectors_says_so_in_one_line(name: str, called: Program, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / name, tmp_path / name)
    (tmp_path / name / "generation_config.json").write_text('{"do_sample": true}')
    for options in ([], ["--beams", "2"], ["--model-settings"], ["--stream"]):
        ran = called("generate", "--ids", "7,31", "--model", str(tmp_path / name), *options)
        assert (ran.code, ran.out) == (2, "")
        assert "does not generate: it" in ran.err and ran.err.endswith("(llminspect embed shows its vectors)\n")
        assert ran.err.count("\n") == 1


@pytest.mark.parametrize("more", [(), ("--n", "2", "--temperature", "1", "--seed", "1"), ("--tree", "2")])
def test_a_source_becomes_a_target(called: Program, more: tuple[str, ...]) -> None:
    given = ("generate", "--model", str(GOLDEN / "bart"), "--ids", "5,6,7", "--max-tokens", "3", "-q", *more)
    shown = called(*given).out
    assert "#5 #6 #7\nbecomes\n" in shown
    assert "--tree" not in more or "#5 #6 #7 becomes" in shown
    document = called(*given, "--json").json
    assert (document["prompt_ids"], document["target_ids"]) == ([5, 6, 7], [2])


@pytest.mark.parametrize("columns", [40, 42, 47, 50, 51, 53, 56, 57, 62])
def test_a_narrow_table_leaves_numbers_out_and_cuts_none(called: Program, columns: int) -> None:
    out = called("generate", "cet avocat parle.", "--model", "toy-translate", COLUMNS=str(columns)).out
    lines = out.splitlines()
    start = next(at for at, line in enumerate(lines) if re.match(r" +token +prob ", line))
    ends = [line.split()[-1] for line in lines[start + 2 : start + 20] if re.match(r"\d  ", line)]
    assert len(ends) == 4 and max(map(len, lines)) <= columns
    if lines[start].split()[-1] == "bits":
        assert ends == ["1.4", "1.0", "0.5", "1.6"]
    else:
        assert lines[start].split()[-1] == "runners-up" and columns < 44
        assert "Left out at this width: bits; shown from width 44." in " ".join(out.split())


@pytest.mark.parametrize("more", [(), ("--n", "2", "--seed", "1", "--temperature", "0.1")])
def test_it_is_said_which_token_ended_the_text(called: Program, more: tuple[str, ...]) -> None:
    """In a toy that is a full stop, which looks like any other token."""
    out = " ".join(called("generate", "cet avocat parle.", "--model", "toy-translate", *more).out.split())
    assert "the last one, “.”, is the model's sign that the text ends" in out and " eos" not in out
