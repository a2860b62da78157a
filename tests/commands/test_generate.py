"""`generate`: the recorded greedy tokens, the cache, draws, stops, beams, experiments, and what is printed."""

from __future__ import annotations

import io
import itertools
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from llminspect.analysis.candidates import ProbableToken
from llminspect.analysis.completion import CompletionListener, StepRecord
from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.generate import GenerateOptions, SamplingOptions, check_generate
from llminspect.commands.generate.view import watch_view
from llminspect.core.unembed import log_softmax
from llminspect.errors import UsageError
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from llminspect.text.text_stream import TextStream

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
REFERENCE = orjson.loads((Path(__file__).parent.parent / "golden" / "smollm2.json").read_bytes())


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.wrap(model.tokenizer.encode(text)))


@pytest.mark.parametrize("entry", REFERENCE["forward"], ids=lambda entry: entry["text"])
def test_greedy_tokens_are_the_recorded_ones(smollm2: Model, entry: dict[str, Any]) -> None:
    result = generate(smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=24)), prompt(smollm2, entry["text"]))
    assert result.ids == entry["greedy"]


def test_the_cache_changes_nothing(smollm2: Model) -> None:
    result = generate(
        smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=6)), prompt(smollm2, "The capital of France is")
    )
    ids = [*result.prompt_ids, *result.ids]
    whole_TV = log_softmax(smollm2.logits(smollm2.run(ids).stream_TD).astype(np.float64))
    for index, step in enumerate(result.steps):
        row_V = whole_TV[len(result.prompt_ids) + index - 1]
        assert int(np.argmax(row_V)) == step.id
        assert abs(row_V[step.id] - step.logprob) < 1e-4


def test_a_seed_repeats_the_text_and_a_sample_is_its_own_stream(smollm2: Model) -> None:
    text = prompt(smollm2, "Once upon a time")
    options = GenerateOptions(max_tokens=6, n=2)
    drawn = generate(smollm2, GenerateQuestion(SamplingOptions(temperature=1.0), options, seed=5), text)
    again = generate(
        smollm2, GenerateQuestion(SamplingOptions(temperature=1.0), GenerateOptions(max_tokens=6), seed=5), text
    )
    assert drawn.samples is not None
    assert drawn.samples[0].ids == again.ids
    assert drawn.samples[1].ids != again.ids
    other = generate(
        smollm2, GenerateQuestion(SamplingOptions(temperature=1.0), GenerateOptions(max_tokens=6), seed=6), text
    )
    assert other.ids != again.ids


def test_the_steps_show_what_was_cut(smollm2: Model) -> None:
    sampling = SamplingOptions(temperature=1.5, top_k=8, top_p=0.9, min_p=0.05)
    asked = GenerateQuestion(sampling, GenerateOptions(max_tokens=1, steps=True), seed=1)
    step = generate(smollm2, asked, prompt(smollm2, "The capital of France is")).steps[0]
    assert step.filters is not None
    assert step.filters.names == ["model", "temperature", "top-k", "top-p", "min-p"]
    assert step.filters.kept == [49152, 49152, 8, 5, 5]
    own = np.array([token.probs[0] for token in step.filters.tokens])
    warm = np.array([token.probs[1] for token in step.filters.tokens])
    np.testing.assert_allclose(warm[1:] / warm[0], (own[1:] / own[0]) ** (1 / 1.5), rtol=1e-6)
    assert step.drawn_prob == next(token.probs[-1] for token in step.filters.tokens if token.id == step.id)


def test_alternatives_are_the_others_and_the_entropy_is_of_all() -> None:
    model = open_model("toy")
    step = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=1)), prompt(model, "world")).steps[0]
    exponentials = np.exp([0.74, 1.68, 2.62])
    probabilities = exponentials / exponentials.sum()
    assert step.text == "!"
    assert [other.text for other in step.alternatives] == ["world", "hello"]
    np.testing.assert_allclose(
        [step.prob, *(other.prob for other in step.alternatives)], probabilities[::-1], atol=1e-6
    )
    assert abs(step.entropy + float((probabilities * np.log2(probabilities)).sum())) < 1e-6
    assert abs(step.logprob - math.log(probabilities[2])) < 1e-6


def test_a_stop_is_found_across_tokens(smollm2: Model) -> None:
    text = prompt(smollm2, "The capital of France is")
    plain = generate(smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=12)), text)
    stop = plain.completion[3:9]
    result = generate(smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=12, stop=[stop])), text)
    assert result.stop == "stop"
    assert result.completion == plain.completion[:3]
    assert len(result.ids) < len(plain.ids)


def test_the_end_of_text_ends_the_completion_unless_ignored() -> None:
    model = open_model("toy")
    assert model.tokenizer is not None
    model.tokenizer.eos_ids = frozenset({2})
    text = prompt(model, "hello")
    result = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=3)), text)
    assert (result.stop, result.ids, result.completion) == ("eos", [2], "")
    longer = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=3, ignore_eos=True)), text)
    assert (longer.stop, longer.ids, longer.completion) == ("length", [2, 2, 2], "!!!")


def test_a_forced_prefix_is_what_the_completion_begins_with(smollm2: Model) -> None:
    asked = GenerateQuestion(options=GenerateOptions(max_tokens=4, prefix=" London"))
    result = generate(smollm2, asked, prompt(smollm2, "The capital of France is"))
    assert result.completion.startswith(" London")
    assert [step.forced for step in result.steps] == [True, None, None, None]
    assert abs(result.steps[0].prob - 0.0125) < 1e-3


def test_beams_on_the_toy_are_the_best_of_all_continuations() -> None:
    model = open_model("toy")
    result = generate(model, GenerateQuestion(options=GenerateOptions(max_tokens=4, beams=27)), prompt(model, "hello"))

    def log_probs(token: int) -> Any:
        return log_softmax(model.logits(model.run([token]).stream_TD)[-1].astype(float))

    expected = []
    for ids in itertools.product(range(3), repeat=4):
        path = (0, *ids)
        expected.append((sum(log_probs(a)[b] for a, b in itertools.pairwise(path)), ids))
    expected.sort(reverse=True)
    assert result.beams is not None
    assert tuple(result.beams[0].ids) == expected[0][1]
    np.testing.assert_allclose(
        [beam.logprob for beam in result.beams], [score for score, _ in expected[:27]], atol=1e-5
    )


def test_beams_share_one_pass_and_agree_with_the_model(smollm2: Model) -> None:
    result = generate(
        smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=4, beams=3)), prompt(smollm2, "A cat sat.")
    )
    assert result.beams is not None
    for beam in result.beams:
        ids = [*result.prompt_ids, *beam.ids]
        rows = log_softmax(smollm2.logits(smollm2.run(ids).stream_TD).astype(np.float64))
        told = sum(rows[len(result.prompt_ids) - 1 + index, token] for index, token in enumerate(beam.ids))
        assert abs(beam.logprob - told) < 1e-3


def test_the_tree_holds_the_path_and_what_could_have_been(smollm2: Model) -> None:
    result = generate(
        smollm2,
        GenerateQuestion(options=GenerateOptions(max_tokens=2, tree=2, alternatives=2)),
        prompt(smollm2, "The capital of France is"),
    )
    assert result.tree is not None
    assert [twig.text for twig in result.tree] == [" Paris", " the"]
    assert [twig.chosen for twig in result.tree] == [True, False]
    other = smollm2.run([*result.prompt_ids, result.tree[1].id]).stream_TD
    likely = log_softmax(smollm2.logits(other[-1:])[0])
    assert abs(result.tree[1].children[0].prob - math.exp(likely.max())) < 1e-4


def test_experiments_act_on_every_token(smollm2: Model) -> None:
    text = prompt(smollm2, "The capital of France is")
    options = GenerateOptions(max_tokens=4)
    nothing = generate(smollm2, GenerateQuestion(options=options, experiments=ExperimentOptions(scale=["3.2*1"])), text)
    assert nothing.change is not None
    assert nothing.change.first_difference is None
    broken = generate(
        smollm2, GenerateQuestion(options=options, experiments=ExperimentOptions(ablate=["0.feedforward"])), text
    )
    assert broken.baseline is not None
    assert broken.baseline.ids == nothing.ids
    assert broken.ids != nothing.ids


def test_beams_under_an_experiment_show_the_best_beam_without_it(smollm2: Model) -> None:
    text, options = prompt(smollm2, "A cat sat."), GenerateOptions(max_tokens=3, beams=2, steps=True)
    plain = generate(smollm2, GenerateQuestion(options=options), text)
    broken = generate(
        smollm2, GenerateQuestion(options=options, experiments=ExperimentOptions(ablate=["0.feedforward"])), text
    )
    assert broken.baseline is not None
    assert broken.change is not None
    assert broken.baseline.ids == plain.ids
    assert broken.change.first_difference == 0
    assert all(step.filters is not None for step in broken.steps)


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=2), st.data())
def test_a_stream_gives_whole_characters_and_nothing_behind_a_stop(text: str, stops: list[str], data: Any) -> None:
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


def _all_places(text: str, part: str) -> list[int]:
    return [place for place in range(len(text)) if text.startswith(part, place)]


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
    asked = ("generate", "world", "--model", "toy", "--max-tokens", "3", "--n", "3", "--seed", "1")
    samples = called(*asked, "--json").json["samples"]
    assert called(*asked, "--stream").out == "".join(f"{sample['completion']}\n" for sample in samples)


def test_a_stream_never_holds_half_a_character(smollm2: Model) -> None:
    assert smollm2.tokenizer is not None
    text = "🙂 日本 👩‍👧"
    assert any(b"\xf0" in token.data and len(token.data) < 4 for token in smollm2.tokenizer.encode(text))
    asked = GenerateQuestion(options=GenerateOptions(max_tokens=len(smollm2.tokenizer.encode_ids(text)), prefix=text))
    given: list[str] = []
    result = generate(smollm2, asked, prompt(smollm2, "A cat"), CompletionListener(text=given.append))
    assert result.completion == "".join(given) == text
    assert "\ufffd" not in "".join(given)


def test_without_a_tokenizer_the_ids_are_written_as_they_come(called: Program) -> None:
    asked = ("generate", "--model", str(GOLDEN / "llama"), "--ids", "1,2,3", "--max-tokens", "2")
    document = called(*asked, "--json").json
    first, second = document["ids"]
    assert (document["prompt"], document["completion"]) == ("", "")
    assert called(*asked).out.startswith(f"#1 #2 #3 #{first} #{second}\n")
    assert called(*asked, "--stream").out == f" #{first} #{second}\n"
    assert f"#{first} #{second}" in called(*asked, "--beams", "2").out


def test_a_full_context_is_not_said_to_be_the_number_of_tokens(called: Program) -> None:
    context = open_model(str(GOLDEN / "gpt2")).config.sizes.context
    ids = ",".join(["5"] * (context - 1))
    asked = ("generate", "--model", str(GOLDEN / "gpt2"), "--ids", ids, "--max-tokens", "3")
    document = called(*asked, "--json").json
    assert (document["stop"], len(document["ids"]), document["context_full"]) == ("length", 1, True)
    assert called(*asked).out.endswith("1 token: the model can hold no more\n")


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
    again = called("generate", "world", "--model", "toy", "--temperature", "1", "--json", "--seed", seed).json
    assert again["ids"] == first["ids"]


@pytest.mark.parametrize(
    ("arguments", "said"),
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
        (["--length-penalty", "2"], "says nothing without --beams"),
        (["--length-penalty", "nan", "--beams", "2"], "not a finite number"),
        (["--ablate", "0.0"], "this model has no heads"),
        (["--ablate", "9.feedforward"], "there is no layer 9"),
        (["--ablate-with", "mean"], "--ablate-with says nothing without --ablate"),
        (["--scale", "0.feedforward"], "does not end in a factor"),
        (["--steer", "world"], "does not say words@layer*factor"),
        (["--tree", "20"], "is too large"),
        (["--prefix", "moon"], "has no word"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], said: str) -> None:
    ran = called("generate", "world", "--model", "toy", "--max-tokens", "2", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_guessing_from_what_stood_before_gives_the_same_in_fewer_passes(smollm2: Model) -> None:
    text = prompt(smollm2, "Red, green, blue, white. Red, green, blue, white. Red, green")
    plain = generate(smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=8, ignore_eos=True)), text)
    ahead = generate(smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=8, ignore_eos=True, lookup=4)), text)
    assert ahead.ids == plain.ids
    assert [step.prob for step in ahead.steps] == pytest.approx([step.prob for step in plain.steps], abs=1e-4)
    assert plain.passes is None
    assert ahead.passes is not None
    assert ahead.passes < len(ahead.ids)


def test_guessing_does_not_go_with_beams() -> None:
    with pytest.raises(UsageError, match="--lookup"):
        check_generate(SamplingOptions(), GenerateOptions(lookup=4, beams=2))


RUNS = {
    "greedy": ["--model", "toy"],
    "beams": ["--model", "toy", "--beams", "2"],
    "samples": ["--model", "toy", "--n", "2", "--seed", "1"],
    "tree": ["--model", "toy", "--beams", "2", "--tree", "1"],
    "watched": ["--model", "toy", "--watch"],
    "looked up": ["--model", "toy", "--lookup", "2"],
    "translated": ["--model", str(GOLDEN / "marian"), "--ids", "7,31", "--beams", "2"],
}


@pytest.mark.parametrize("name", RUNS)
def test_the_way_through_the_filters_is_shown_wherever_it_is_wanted(name: str, called: Program) -> None:
    options = ["--max-tokens", "2", "--steps", "--no-repeat-ngram", "3"]
    text = [] if "--ids" in RUNS[name] else ["world"]
    ran = called("generate", *text, *RUNS[name], *options)
    assert ran.code == 0, ran.err
    steps = ran.out.count("tokens left")
    assert steps == ran.out.count("no-repeat") == (4 if name == "samples" else 2)


def widths(out: str) -> list[int]:
    return [len(line.rstrip()) for line in out.splitlines()]


@pytest.mark.parametrize("columns", [48, 60, 80, 120])
def test_no_head_of_a_column_is_broken(columns: int, called: Program) -> None:
    sampling = ["--temperature", "0.8", "--top-k", "9", "--top-p", "0.9", "--min-p", "0.01", "--typical", "0.9"]
    more = ["--repetition-penalty", "1.1", "--no-repeat-ngram", "2", "--seed", "1", "--steps", "--max-tokens", "1"]
    run = ("generate", "--ids", "7,31,5", "--model", str(GOLDEN / "llama"), *sampling, *more)
    out = called(*run, COLUMNS=str(columns)).out
    heads = [line.split() for line in out.splitlines() if line.startswith("token ")]
    names = ["model", "penalty", "no-repeat", "temperature", "top-k", "top-p", "min-p", "typical"]
    assert [name for head in heads for name in head if name != "token"] == names
    assert " drawn at   runners-up " in out and max(widths(out)) <= columns
    assert (len(heads) == 1) == (columns == 120)


@pytest.mark.parametrize("options", [[], ["--beams", "2"], ["--tree", "3"]], ids=str)
def test_the_last_token_that_is_written_is_not_read(options: list[str], called: Program) -> None:
    """A context of 64 holds 60 tokens and the 4 after them; a fifth is written from a full one."""
    run = ("generate", "--model", str(GOLDEN / "llama"), "--ids", ",".join(["5"] * 60), "--ignore-eos", *options)
    assert "notes" not in called(*run, "--max-tokens", "5", "--json").json
    assert called(*run, "--max-tokens", "6", "--json").json["notes"][0].startswith("65 tokens are more than the 64")


def test_branches_are_read_too(called: Program) -> None:
    run = ("generate", "--model", str(GOLDEN / "llama"), "--ids", ",".join(["5"] * 63), "--max-tokens", "1", "--json")
    assert "notes" not in called(*run, "--tree", "2", "--alternatives", "1").json
    assert called(*run, "--tree", "3", "--alternatives", "1").json["notes"][0].startswith("65 tokens")


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
