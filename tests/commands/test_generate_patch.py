"""`generate --patch`: against passes over the whole text, without a cache, that patch the prompt's positions alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect import generate as generate_by_name
from llminspect.analysis.forward import forward as forward
from llminspect.analysis.forward_result import ForwardQuestion
from llminspect.analysis.generate import GenerateQuestion, GenerateResult, generate
from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.generate import GenerateOptions, SamplingOptions
from llminspect.core.attention import softmax
from llminspect.errors import UsageError
from tests.commands.patched import Acts, agrees, prompt, put, values_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
FRANCE, ITALY = "The capital of France is", "The capital of Italy is"


def italy(
    model: Model, *into: str, position: str | None = None, experiments: Any = None, **options: Any
) -> GenerateResult:
    """France patched from Italy."""
    return generate(
        model,
        GenerateQuestion(
            options=GenerateOptions(**{"max_tokens": 3, **options}),
            experiments=ExperimentOptions(**(experiments or {})),
            patch=PatchOptions(ITALY, list(into), position),
            source_ids=prompt(model, ITALY).ids,
        ),
        prompt(model, FRANCE),
    )


def italys_stream(model: Model, layer: int, positions: Sequence[int]) -> Acts:
    name = f"layers.{layer}.output"
    return Acts({name: put(values_at(model, prompt(model, ITALY).ids, name), positions)})


def test_france_patched_from_italy_goes_on_with_rome(smollm2: Model) -> None:
    result = italy(smollm2, "22.stream", position="3")
    assert result.completion.startswith(" Rome.")
    assert result.baseline is not None
    assert result.baseline.completion.startswith(" Paris.")
    assert result.change is not None
    assert [(made.kind, made.where) for made in result.change.experiments] == [("patch", "22.stream")]
    agrees(smollm2, result.prompt_ids, result, italys_stream(smollm2, 22, [3]))


def test_the_first_token_is_as_in_forward(smollm2: Model) -> None:
    for into, position in (["22.stream"], "3"), (["23.4", "8.feedforward"], None):
        patch, ids = SweepOptions(ITALY, into, position), prompt(smollm2, ITALY).ids
        question = ForwardQuestion(ForwardOptions(top=4), patch, source_ids=ids)
        expected = forward(smollm2, question, prompt(smollm2, FRANCE)).next
        first = italy(smollm2, *into, position=position, max_tokens=1).steps[0]
        assert expected is not None
        assert [first.id, *(other.id for other in first.alternatives)] == [found.id for found in expected]
        np.testing.assert_allclose(
            [first.prob, *(other.prob for other in first.alternatives)], [found.prob for found in expected], atol=1e-6
        )


def test_a_text_patched_into_itself_goes_on_as_before(smollm2: Model) -> None:
    text = prompt(smollm2, FRANCE)
    patch = PatchOptions(FRANCE, ["7.stream", "3.2", "8.feedforward", "20.attention"])
    result = generate(
        smollm2, GenerateQuestion(options=GenerateOptions(max_tokens=3), patch=patch, source_ids=text.ids), text
    )
    assert result.change is not None
    assert result.change.first_difference is None
    agrees(smollm2, text.ids, result, Acts({}))


def test_the_other_experiments_act_on_both_texts_and_after_the_prompt(smollm2: Model) -> None:
    name, ids = "layers.20.attention.output", prompt(smollm2, ITALY).ids

    def twice(array: Array) -> Array:
        return array * 2

    def no_head(array: Array) -> Array:
        changed = array.copy()
        changed[1] = 0
        return changed

    seen = []

    def look(array: Array) -> Array:
        seen.append(array)
        return array * 2

    smollm2.run(ids, Acts({name: look, "layers.3.attention.mixed": no_head}))
    swap = put(seen[0], [3, 4])
    acts = Acts({name: lambda array: twice(swap(array)), "layers.3.attention.mixed": no_head})
    result = italy(
        smollm2, "20.attention", position="3-4", experiments={"scale": ["20.attention*2"], "ablate": ["3.1"]}
    )
    agrees(smollm2, result.prompt_ids, result, acts)
    assert result.change is not None
    assert [made.kind for made in result.change.experiments] == ["patch", "ablate", "scale"]


def test_what_the_completion_has_to_begin_with_is_not_patched(smollm2: Model) -> None:
    result = italy(smollm2, "10.stream", prefix=" a very old city called", max_tokens=6)
    assert sum(step.forced is True for step in result.steps) == 5
    agrees(smollm2, result.prompt_ids, result, italys_stream(smollm2, 10, range(5)))


def test_each_of_several_samples_is_patched(smollm2: Model) -> None:
    text = prompt(smollm2, FRANCE)
    question = GenerateQuestion(
        SamplingOptions(temperature=1.0),
        GenerateOptions(max_tokens=3, n=2),
        seed=4,
        patch=PatchOptions(ITALY, ["22.stream"], "3"),
        source_ids=prompt(smollm2, ITALY).ids,
    )
    result = generate(smollm2, question, text)
    assert result.samples is not None
    assert result.samples[0].ids != result.samples[1].ids
    for sample in result.samples:
        single = GenerateResult(FRANCE, [], text.ids, sample.completion, sample.ids, sample.steps, sample.stop, seed=4)
        agrees(smollm2, text.ids, single, italys_stream(smollm2, 22, [3]))


def test_beams_and_the_tree_are_patched(smollm2: Model) -> None:
    result, acts = italy(smollm2, "22.stream", position="3", beams=2, tree=2), italys_stream(smollm2, 22, [3])
    assert result.beams is not None
    assert result.tree is not None
    assert result.baseline is not None
    assert result.baseline.completion.startswith(" Paris")

    @cache
    def chances(*after: int) -> Array:
        stream_TD = smollm2.run([*result.prompt_ids, *after], acts).stream_TD
        return softmax(smollm2.logits(stream_TD)[-1].astype(np.float64))

    for beam in result.beams:
        total = sum(np.log(chances(*beam.ids[:index])[token]) for index, token in enumerate(beam.ids))
        assert abs(beam.logprob - total) < 1e-3
    for twig in result.tree:
        assert abs(twig.prob - chances()[twig.id]) < 2e-5
        for child in twig.children:
            assert abs(child.prob - chances(twig.id)[child.id]) < 2e-5


@pytest.mark.parametrize(
    "options",
    [{"ablate": ["3.2"], "ablate_with": "mean"}, {"steer": ["Paris - London@10*1"]}, {"scale": ["5.attention*2"]}, {}],
    ids=str,
)
def test_guessing_ahead_under_an_experiment_gives_the_same_in_fewer_passes(
    smollm2: Model, options: dict[str, Any]
) -> None:
    text = "Red, green, blue. Red, green, blue. Red, green"
    front, other = prompt(smollm2, text), prompt(smollm2, text.replace("blue", "pink")).ids
    patch = PatchOptions() if options else PatchOptions("", ["12.stream"], "4,10")

    def written(lookup: int) -> GenerateResult:
        given = GenerateOptions(max_tokens=6, ignore_eos=True, lookup=lookup)
        changed = ExperimentOptions(**options)
        source_ids = None if options else other
        return generate(
            smollm2,
            GenerateQuestion(options=given, experiments=changed, patch=patch, source_ids=source_ids),
            front,
        )

    plain, ahead = written(0), written(4)
    assert ahead.ids == plain.ids
    assert [step.prob for step in ahead.steps] == pytest.approx([step.prob for step in plain.steps], abs=1e-4)
    assert ahead.passes is not None
    assert ahead.passes < len(ahead.ids)
    assert ahead.change == plain.change


def test_in_a_chat_both_texts_are_messages(called: Program) -> None:
    words = ("generate", "France", "--chat", "--patch", "Italy", "--into", "5.stream", "--max-tokens", "2", "--json")
    document = called(*words).json
    assert document["change"]["experiments"][0]["what"] == "“Italy” at every position"
    assert len(document["prompt_ids"]) > 20


def test_from_python(smollm2: Model) -> None:
    result = generate_by_name(FRANCE, smollm2, patch=ITALY, into=["22.stream"], position="3", max_tokens=2)
    assert result.completion == " Rome."
    with pytest.raises(UsageError, match="is outside the vocabulary"):
        generate_by_name([1, 2], smollm2, patch=[1, 99999], into=["2.stream"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--patch", "hello"], "--patch without --into tries every place"),
        (["--into", "0.stream"], "--into has no effect without --patch"),
        (["--position", "0"], "--position has no effect without --into"),
        (["--patch", "hello !", "--into", "0.stream"], "the texts have 1 and 2 tokens"),
        (["--patch", "hello", "--into", "4.stream"], "there is no layer 4"),
        (["--patch", "hello", "--into", "0.stream", "--position", "1"], "there is no position 1"),
        (["--patch", "hello", "--sweep", "head"], "No such option: --sweep"),
    ],
)
def test_mistakes_are_one_line(called: Program, arguments: list[str], message: str) -> None:
    ran = called("generate", "world", "--model", "toy", "--max-tokens", "2", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
