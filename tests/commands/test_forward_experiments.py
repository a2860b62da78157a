"""Lens, attribution, ablating, patching, steering, leaving out, surprisal: against plain passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.forward import ForwardQuestion, ForwardResult, forward
from llminspect.analysis.token_scores import surprise
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.core.attention import softmax
from llminspect.core.unembed import log_softmax, windows
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Token
from tests.commands.plain_llama import plain_forward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
FRANCE, ITALY = "The capital of France is", "The capital of Italy is"


def prompt(model: Model, text: str) -> Prompt:
    assert model.tokenizer is not None
    return Prompt(text, model.tokenizer.wrap(model.tokenizer.encode(text)))


def ids_prompt(*ids: int) -> Prompt:
    return Prompt(None, [Token(token_id, b"", None, None) for token_id in ids])


def patched(model: Model, source: str, **options: Any) -> ForwardResult:
    question = ForwardQuestion(
        ForwardOptions(top=5), SweepOptions(patch=source, **options), source_ids=prompt(model, source).ids
    )
    return forward(model, question, prompt(model, FRANCE))


def changed(model: Model, **options: Any) -> ForwardResult:
    return forward(
        model, ForwardQuestion(ForwardOptions(top=8), experiments=ExperimentOptions(**options)), prompt(model, FRANCE)
    )


def matches(result: ForwardResult, logits_V: NDArray[np.float64]) -> None:
    """The result's next tokens are those of a plain pass."""
    assert result.next is not None
    assert [found.id for found in result.next] == np.argsort(-logits_V)[: len(result.next)].tolist()
    np.testing.assert_allclose(
        [found.logit for found in result.next], sorted(logits_V)[::-1][: len(result.next)], atol=2e-3
    )


def test_the_plain_pass_is_the_model(smollm2: Model) -> None:
    matches(
        forward(smollm2, ForwardQuestion(), prompt(smollm2, FRANCE)),
        plain_forward(smollm2, prompt(smollm2, FRANCE).ids)[0],
    )


def test_the_lens_at_the_last_layer_is_the_answer(smollm2: Model) -> None:
    result = forward(
        smollm2, ForwardQuestion(ForwardOptions(lens=True, all=True, target=" Paris")), prompt(smollm2, FRANCE)
    )
    assert result.lens is not None
    assert result.next is not None
    assert result.grid is not None
    assert [token.id for token in result.lens[-1].top] == [found.id for found in result.next]
    np.testing.assert_allclose(
        [token.prob for token in result.lens[-1].top], [found.prob for found in result.next], atol=1e-5
    )
    ranks = [layer.target.rank for layer in result.lens if layer.target is not None]
    assert len(ranks) == 30
    # Paris takes the lead at the very last layer; docs/09-looking-inside.md shows it.
    assert ranks[27:] == [6, 2, 0]
    whole = smollm2.logits(smollm2.run(prompt(smollm2, FRANCE).ids).stream_TD)
    assert [token.id for token in result.grid[-1]] == whole.argmax(-1).tolist()
    assert [layer[-1].id for layer in result.grid] == [layer.top[0].id for layer in result.lens]


def test_the_lens_of_a_middle_layer_is_norm_and_vocabulary(smollm2: Model) -> None:
    result = forward(smollm2, ForwardQuestion(ForwardOptions(lens=True)), prompt(smollm2, FRANCE))
    assert result.lens is not None
    _, streams = plain_forward(smollm2, prompt(smollm2, FRANCE).ids)
    stream = streams[20][-1]
    normed = stream / np.sqrt((stream**2).mean() + 1e-5) * smollm2.params["final.norm.weight"]
    chances = softmax(np.asarray(smollm2.params["embedding.weight"], np.float64) @ normed)
    for token in result.lens[20].top:
        assert abs(token.prob - chances[token.id]) < 1e-4


@pytest.mark.parametrize("versus", [None, " London"])
def test_attribution_sums_to_the_logit(smollm2: Model, versus: str | None) -> None:
    look = ForwardOptions(attribution=True, target=" Paris", versus=versus)
    found = forward(smollm2, ForwardQuestion(look), prompt(smollm2, FRANCE)).attribution
    assert found is not None
    parts = found.embedding + found.bias + sum(layer.attention + layer.feedforward for layer in found.layers)
    assert abs(parts - found.logit) < 1e-3
    assert abs(parts - found.sum) < 1e-9
    for layer in found.layers:
        assert abs(sum(layer.heads) - layer.attention) < 1e-3
    strongest = max((value, layer.layer, head) for layer in found.layers for head, value in enumerate(layer.heads))
    if versus:
        assert strongest[1:] == (23, 4)


def test_attribution_of_the_toys() -> None:
    model = open_model("toy-attention")
    found = forward(
        model, ForwardQuestion(ForwardOptions(attribution=True, target="sat")), prompt(model, "A cat sat .")
    ).attribution
    assert found is not None
    assert abs(found.sum - found.logit) < 1e-6
    assert abs(found.embedding) < 1e-6
    with pytest.raises(Exception, match="not the sum"):
        forward(
            open_model("toy"), ForwardQuestion(ForwardOptions(attribution=True)), prompt(open_model("toy"), "world")
        )


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "mixtral", "qwen2", "gpt-oss"])
def test_attribution_sums_in_every_family(family: str) -> None:
    """With norms behind the steps, caps on the logits, biases, experts, attention sinks."""
    model = open_model(str(GOLDEN / family))
    result = forward(model, ForwardQuestion(ForwardOptions(attribution=True)), ids_prompt(5, 6, 7, 8))
    found = result.attribution
    assert found is not None
    parts = found.embedding + found.bias + sum(layer.attention + layer.feedforward for layer in found.layers)
    assert abs(parts - found.logit) < 1e-3
    assert abs(sum(sum(layer.heads) for layer in found.layers)) > 0


@pytest.mark.parametrize("family", ["t5", "t5-gated"])
def test_attribution_of_a_decoder_counts_what_it_reads_in_the_source(family: str) -> None:
    model = open_model(str(GOLDEN / family))
    question = ForwardQuestion(
        ForwardOptions(attribution=True, target_ids="9,10"), experiments=ExperimentOptions(scale=["0.1*3"])
    )
    found = forward(model, question, ids_prompt(5, 6, 7)).attribution
    assert found is not None
    parts = found.embedding + sum(layer.attention + layer.feedforward for layer in found.layers)
    crossed = [layer.cross for layer in found.layers if layer.cross is not None]
    assert len(crossed) == len(found.layers)
    assert abs(parts + sum(crossed) - found.logit) < 1e-3
    assert abs(parts - found.logit) > 1e-2


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


@pytest.mark.parametrize("options", [{}, {"into": ["7.stream"]}, {"into": ["3.2", "8.feedforward"]}, {"sweep": "head"}])
def test_patching_a_text_into_itself_changes_nothing(smollm2: Model, options: dict[str, Any]) -> None:
    result = patched(smollm2, FRANCE, **options)
    assert result.change is not None
    assert result.change.largest_logit_change < 1e-4
    assert result.change.kl < 1e-6
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
    np.testing.assert_allclose([f.logit for f in both.next], [f.logit for f in alone.next], atol=1e-4)


@pytest.mark.parametrize(
    ("look", "options", "patch"),
    [
        ({}, {"steer": ["love - hate@6*2", "love@29*1"]}, {}),
        ({"versus": " London"}, {"scale": ["23.4*2"]}, {"patch": ITALY, "into": ["10.stream"]}),
    ],
    ids=["steered", "patched"],
)
def test_attribution_counts_what_an_experiment_adds(
    smollm2: Model, look: dict[str, Any], options: dict[str, Any], patch: dict[str, Any]
) -> None:
    text = prompt(smollm2, FRANCE)
    other = prompt(smollm2, ITALY).ids if patch else None
    question = ForwardQuestion(
        ForwardOptions(attribution=True, target=" Paris", **look),
        SweepOptions(**patch),
        ExperimentOptions(**options),
        other,
    )
    found = forward(smollm2, question, text).attribution
    assert found is not None
    assert found.experiment is not None
    assert abs(found.experiment) > 0.01
    parts = found.embedding + found.experiment + sum(layer.attention + layer.feedforward for layer in found.layers)
    assert abs(parts - found.logit) < 1e-3
    assert abs(parts - found.sum) < 1e-9


def test_saliency_is_what_a_plain_pass_that_never_sees_the_token_gives(smollm2: Model) -> None:
    ids = prompt(smollm2, FRANCE).ids
    found = forward(smollm2, ForwardQuestion(ForwardOptions(saliency=True)), prompt(smollm2, FRANCE)).saliency
    assert found is not None
    whole = float(log_softmax(plain_forward(smollm2, ids)[0])[found.target.id])
    assert abs(found.logprob - whole) < 1e-4
    for index in range(len(ids)):
        without = float(log_softmax(plain_forward(smollm2, ids, hidden=index)[0])[found.target.id])
        assert abs(found.drops[index] - (whole - without)) < 1e-3
    # "capital" and "France" carry the answer.
    assert np.argsort(found.drops)[::-1][:2].tolist() == [1, 3]


def test_surprisal_sums_to_the_log_likelihood(smollm2: Model) -> None:
    ids = prompt(smollm2, "The capital of France is Paris.").ids
    found = surprise(smollm2, ids, None, [])
    rows = log_softmax(smollm2.logits(smollm2.run(ids).stream_TD).astype(np.float64))
    likelihood = sum(rows[index - 1, ids[index]] for index in range(1, len(ids)))
    assert found.bits[0] is None
    assert found.perplexity is not None
    assert abs(found.total_bits + likelihood / math.log(2)) < 1e-3
    assert abs(found.perplexity - math.exp(-likelihood / (len(ids) - 1))) < 1e-2


def test_a_text_longer_than_the_window_is_scored_in_windows(smollm2: Model) -> None:
    ids = prompt(smollm2, "A cat sat on the mat. The cat sat on the dog.").ids
    found = surprise(smollm2, ids, 6, [])
    assert found.window == 6
    spans = list(windows(len(ids), 6, 3))
    for start, stop, scored in spans:
        rows = log_softmax(smollm2.logits(smollm2.run(ids[start:stop]).stream_TD).astype(np.float64))
        for index in range(scored, stop):
            bits = found.bits[index]
            assert bits is not None
            assert abs(bits + rows[index - 1 - start, ids[index]] / math.log(2)) < 1e-3


def test_arrays_of_a_text_longer_than_the_context_are_refused(program: Program, tmp_path: Path) -> None:
    ids = ",".join(["5"] * (open_model(str(GOLDEN / "llama")).config.sizes.context + 1))
    path = tmp_path / "x.npz"
    ran = program("forward", "--model", str(GOLDEN / "llama"), "--ids", ids, "--surprise", "--save", str(path))
    assert ran.code == 2
    assert "several windows" in ran.err
    assert not path.exists()


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 20])
def test_windows_score_each_token_once_and_overlap(length: int) -> None:
    spans = list(windows(length, 6, 3))
    scored: Sequence[int] = [index for _, stop, first in spans for index in range(first, stop)]
    assert scored == list(range(1, length))
    assert all(stop - start <= 6 for start, stop, _ in spans)
    assert all(first - start == 3 for start, _, first in spans[1:])


def test_perplexity_is_one_number_a_line(program: Program) -> None:
    ran = program("forward", "--perplexity", "--lines", "--model", "toy", stdin="world !\nhello hello\n")
    assert ran.code == 0
    exponentials = np.exp([0.74, 1.68, 2.62])
    assert float(ran.out.splitlines()[0]) == pytest.approx(exponentials.sum() / exponentials[2], rel=1e-5)
    assert len(ran.out.splitlines()) == 2


def test_a_line_that_cannot_be_scored_is_nan_and_the_run_goes_on(program: Program) -> None:
    ran = program("forward", "--perplexity", "--lines", "--model", "toy", stdin="world !\n\nworld\nworld !\n")
    first, *rest = ran.out.splitlines()
    assert rest == ["nan", "nan", first]
    assert ran.code == 2
    assert ran.err == "llminspect: line 1: the text gives no tokens (give at least one character)\n"


def test_a_target_alone_says_where_it_stands(program: Program) -> None:
    question = ("forward", "world", "--model", "toy", "--target", "hello")
    target = program(*question, "--json").json["target"]
    assert (target["id"], target["rank"]) == (0, 2)
    assert target["prob"] == pytest.approx(float(softmax(np.array([0.74, 1.68, 2.62]))[0]), abs=1e-6)
    assert "hello has rank 2 (0 is the most probable) and 9.89%" in program(*question).out
    assert "has rank" not in program("forward", "world", "--model", "toy", "--target", "!").out
    assert "has rank" in program(*question, "--scale", "0.feedforward*2").out


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["--all"], "--all says nothing without --lens"),
        (["--into", "0.stream"], "--into says nothing without --patch"),
        (["--lens", "--target", "worlds"], "has no word"),
        (["--lens", "--target", "#77"], "id 77 is outside the vocabulary"),
        (["--patch", "hello !"], "the texts have 1 and 2 tokens"),
        (["--patch", "hello", "--into", "4.stream"], "there is no layer 4"),
        (["--surprise", "--lens"], "goes with no --lens"),
        (["--perplexity", "--at", "0"], "goes with no --at"),
        (["--surprise", "--patch", "hello"], "goes with no --patch"),
        (["--surprise", "--target", "hello"], "not --target"),
        (["--perplexity", "--save", "x.json"], "nothing to save"),
        (["--surprise", "--window", "1"], "--window 1 is not possible"),
        (["--ablate", "0.attention"], "has no attention"),
        (["--ablate", "what"], "is not a part of the model"),
        (["--ablate", ""], "is not a part of the model"),
        (["--ablate-with", "mean"], "--ablate-with says nothing without --ablate"),
    ],
)
def test_mistakes_are_one_line(program: Program, arguments: list[str], written: str) -> None:
    ran = program("forward", "world", "--model", "toy", *arguments)
    assert ran.code == 2
    assert written in ran.err
    assert len(ran.err.splitlines()) == 1
