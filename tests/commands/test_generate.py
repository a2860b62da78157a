"""`generate`: the recorded greedy tokens, the cache, draws, stops, beams, experiments."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from llminspect.analysis.generate import GenerateQuestion, generate
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.generate import GenerateOptions, SamplingOptions
from llminspect.arguments.together import check_together
from llminspect.core.unembed import log_softmax
from llminspect.errors import UsageError
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt

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
    repeated = generate(
        smollm2, GenerateQuestion(SamplingOptions(temperature=1.0), GenerateOptions(max_tokens=6), seed=5), text
    )
    assert drawn.samples is not None
    assert drawn.samples[0].ids == repeated.ids
    assert drawn.samples[1].ids != repeated.ids
    other = generate(
        smollm2, GenerateQuestion(SamplingOptions(temperature=1.0), GenerateOptions(max_tokens=6), seed=6), text
    )
    assert other.ids != repeated.ids


def test_the_steps_show_what_was_cut(smollm2: Model) -> None:
    sampling = SamplingOptions(temperature=1.5, top_k=8, top_p=0.9, min_p=0.05)
    question = GenerateQuestion(sampling, GenerateOptions(max_tokens=1, steps=True), seed=1)
    step = generate(smollm2, question, prompt(smollm2, "The capital of France is")).steps[0]
    assert step.filters is not None
    assert step.filters.names == ["model", "temperature", "top-k", "top-p", "min-p"]
    assert step.filters.kept == [49152, 49152, 8, 5, 5]
    unwarmed = np.array([token.probs[0] for token in step.filters.tokens])
    warm = np.array([token.probs[1] for token in step.filters.tokens])
    np.testing.assert_allclose(warm[1:] / warm[0], (unwarmed[1:] / unwarmed[0]) ** (1 / 1.5), rtol=1e-6)
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
    question = GenerateQuestion(options=GenerateOptions(max_tokens=4, prefix=" London"))
    result = generate(smollm2, question, prompt(smollm2, "The capital of France is"))
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
        total = sum(rows[len(result.prompt_ids) - 1 + index, token] for index, token in enumerate(beam.ids))
        assert abs(beam.logprob - total) < 1e-3


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
        check_together("generate", SamplingOptions(), GenerateOptions(lookup=4, beams=2))


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
