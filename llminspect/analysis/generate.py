"""`llminspect generate`: one token after another, each with its probability and the runners-up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.analysis.beams import BeamSearch, branches, search_beams
from llminspect.analysis.compare_tokenizers import place_of_difference
from llminspect.analysis.completion import NO_CHANGES, Completion, Limits, PassChanges, complete
from llminspect.analysis.experiments import experiment_taps
from llminspect.analysis.patching import into_places, other_text
from llminspect.analysis.prompt import beyond_context, check_prompt, target_prompt, with_source
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.arguments.generate import GenerateOptions, SamplingOptions
from llminspect.arguments.option import each
from llminspect.core.rules import NO_RULES
from llminspect.core.sampling import Sampling
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.beams import Beam, BranchToken
    from llminspect.analysis.completion import CompletionListener, StepRecord, Stop
    from llminspect.analysis.experiments import Experiment
    from llminspect.analysis.model_settings import StatedSettings
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt


@dataclass(frozen=True)
class UnchangedCompletion:
    """What the model writes without the experiment."""

    completion: str
    ids: list[int]


@dataclass(frozen=True)
class CompletionChange:
    """Where the experiment made a difference."""

    experiments: list[Experiment]
    first_difference: int | None
    """The first token that differs; None: none does."""


@dataclass(frozen=True)
class GenerateResult(Result):
    """A prompt and how it goes on."""

    prompt: str
    tokens: Tokens
    prompt_ids: list[int]
    completion: str
    ids: list[int]
    steps: list[StepRecord]
    stop: Stop
    context_full: bool | None = None
    """Where the model could hold no more before --max-tokens was reached."""
    seed: int | None = None
    """What repeats the draws; None where the most probable token was taken."""
    samples: list[Completion] | None = None
    beams: list[Beam] | None = None
    tree: list[BranchToken] | None = None
    passes: int | None = None
    """How often the model was run for the completion, with --lookup."""
    model_settings: dict[str, Any] | None = None
    """The model's own settings that were applied, with --model-settings, by their names in its files."""
    baseline: UnchangedCompletion | None = None
    change: CompletionChange | None = None


@dataclass(frozen=True)
class GenerateQuestion:
    """All that `generate` is asked for. `source_ids` is the text that --patch takes from, of an encoder–decoder
    another source."""

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    options: GenerateOptions = field(default_factory=GenerateOptions)
    experiments: ExperimentOptions = field(default_factory=ExperimentOptions)
    seed: int | None = None
    """None: the most probable token each time."""
    patch: PatchOptions = field(default_factory=PatchOptions)
    source_ids: Sequence[int] | None = None
    stated: StatedSettings | None = None
    """What the model's own settings add, with --model-settings."""


def generate(
    model: Model, question: GenerateQuestion, prompt: Prompt, listener: CompletionListener | None = None
) -> GenerateResult:
    """Continue one prompt."""
    check_generates(model, prompt)
    ids, options = prompt.ids, question.options
    if model.can("source"):
        model, ids = with_source(model, prompt.ids), target_prompt(model, None, None).ids
    limits = limits_of(model, options)
    if options.lookup and (model.engine is not None or not model.config.causal):
        raise UsageError("--lookup needs the engine numpy and a model that keeps what it has read", "leave it out")
    changes, experiments = _changes(model, question, ids)
    search = _search(question)

    def once(sample: int, changes: PassChanges, listener: CompletionListener | None) -> Completion:
        if sample and listener is not None and listener.text is not None:
            listener.text("\n")  # Each of several on a new line.
        return complete(
            model,
            ids,
            search.sampling,
            limits,
            seed=None if question.seed is None else (question.seed, sample),
            changes=changes,
            alternatives=options.alternatives,
            table=options.steps,
            listener=listener,
            lookup=options.lookup,
        )

    searched = partial(search_beams, model, ids, search, limits)
    beams = searched(changes) if options.beams else None
    if beams is None:
        samples = [once(number, changes, listener) for number in range(options.n)]
    else:
        samples = [_beam_steps(model, ids, beams[0] if beams else None, changes, options, search.sampling)]
    first = samples[0]
    tree = branches(model, ids, first.ids, options.tree, options.alternatives, changes) if options.tree else None
    plain: Completion | Beam | None = None
    if experiments:
        plain = once(0, NO_CHANGES, None) if beams is None else next(iter(searched(NO_CHANGES)), None)
    return GenerateResult(
        prompt=written(model, prompt),
        tokens=token_documents(prompt.tokens),
        prompt_ids=prompt.ids,
        completion=first.completion,
        ids=first.ids,
        steps=first.steps,
        stop=first.stop,
        context_full=True if first.stop == "length" and len(first.ids) < options.max_tokens else None,
        notes=beyond_context(model, len(prompt.ids), *(len(ids) + len(each.ids) for each in samples)),
        seed=question.seed,
        samples=samples if options.n > 1 else None,
        beams=beams,
        tree=tree,
        passes=first.passes,
        model_settings=None if question.stated is None else question.stated.applied,
        baseline=None if plain is None else UnchangedCompletion(plain.completion, plain.ids),
        change=None if plain is None else CompletionChange(experiments, place_of_difference(plain.ids, first.ids)),
    )


def _search(question: GenerateQuestion) -> BeamSearch:
    """How tokens are chosen; without beams it is what its `sampling` says."""
    options, stated = question.options, question.stated
    filters = {name: value for name, value in vars(question.sampling).items() if name != "seed" and value is not None}
    if options.beams:
        filters["temperature"] = 0
    sampling = Sampling(**filters, rules=NO_RULES if stated is None else stated.rules)
    early_stopping = False if stated is None else stated.early_stopping
    return BeamSearch(options.beams, options.length_penalty, early_stopping, sampling)


def _changes(model: Model, question: GenerateQuestion, ids: list[int]) -> tuple[PassChanges, list[Experiment]]:
    """What the experiments do, as in `forward`: the patch first, then what is ablated, scaled and steered."""
    taps, experiments = experiment_taps(model, question.experiments, ids)
    if question.source_ids is None:
        return PassChanges(taps), experiments
    other = other_text(model, ids, question.source_ids)
    patches, put = into_places(model, ids, other, question.patch, taps)
    return PassChanges(taps, patches), [*put, *experiments]


def written(model: Model, prompt: Prompt) -> str:
    """The prompt's text; ids as they read, and nothing where there is no tokenizer to read them."""
    if prompt.text is not None:
        return prompt.text
    return "" if model.tokenizer is None else "".join(prompt.labels)


def check_generates(model: Model, prompt: Prompt) -> None:
    """Raise UsageError for a model that does not generate, and for a prompt that it cannot take."""
    check_prompt(model, prompt)
    if not model.can("generate"):
        raise UsageError(
            f"{model.name} does not generate: {model.no_next_token()}", "llminspect forward shows what it can say"
        )


def _beam_steps(
    model: Model,
    ids: list[int],
    beam: Beam | None,
    changes: PassChanges,
    options: GenerateOptions,
    sampling: Sampling,
) -> Completion:
    """The best beam step by step, as if each token had been chosen."""
    if beam is None:
        return Completion("", [], [], "length")
    end = min(model.config.sizes.context, len(ids) + options.max_tokens)
    limits = Limits(len(beam.ids), (), False, tuple(beam.ids), end)
    shown, table = options.alternatives, options.steps
    sampling = replace(sampling, of_beams=True)
    forced = complete(model, ids, sampling, limits, seed=None, changes=changes, alternatives=shown, table=table)
    return Completion(beam.completion, beam.ids, [replace(step, forced=None) for step in forced.steps], beam.stop)


def limits_of(model: Model, options: GenerateOptions) -> Limits:
    """When to stop. Raises UsageError for an empty stop string, and for a prefix that the tokenizer does not take."""
    stops = tuple(each(options.stop))
    if "" in stops:
        raise UsageError("--stop is empty", "give the text to stop before")
    forced: tuple[int, ...] = ()
    if options.prefix:
        if model.tokenizer is None:
            raise UsageError("--prefix takes text; this model comes without a tokenizer")
        forced = tuple(model.tokenizer.encode_ids(options.prefix))
    return Limits(options.max_tokens, stops, options.ignore_eos, forced)
