"""`llminspect generate`: one token after another, each with its probability and the runners-up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.analysis.beams import Beam, BeamSearch, BranchToken, branches, search_beams
from llminspect.analysis.compare_tokenizers import place_of_difference
from llminspect.analysis.completion import (
    NO_CHANGES,
    Completion,
    CompletionListener,
    Limits,
    PassChanges,
    StepRecord,
    Stop,
    Unmasking,
    complete,
    longest,
)
from llminspect.analysis.experiments import Experiment, experiment_taps
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.long_texts import noted_of_examples
from llminspect.analysis.patching import into_places, other_text
from llminspect.analysis.prompt import check_prompt, target_prompt, with_source
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.analysis.unmasking import chance_of, complete_by_filling, unmasking_plan
from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.arguments.generate import GenerateOptions, SamplingOptions
from llminspect.arguments.option import each, usual_of
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import ranges
from llminspect.core.rules import NO_RULES
from llminspect.core.sampling import Sampling
from llminspect.core.tap import Chain, Quiet, Tap, unreached
from llminspect.errors import ModelError, UsageError, as_json
from llminspect.model.opened import Model, never_reached, stated_ends
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead
    from llminspect.analysis.model_settings import StatedSettings


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
    target_ids: list[int] | None = None
    """Of an encoder–decoder, whose prompt is the source: what the target begins with, before `ids`."""
    context_full: bool | None = None
    """Where the model could hold no more before --max-tokens was reached."""
    seed: int | None = None
    """What repeats the draws; None where the most probable token was taken."""
    samples: list[Completion] | None = None
    beams: list[Beam] | None = None
    tree: list[BranchToken] | None = None
    passes: int | None = None
    """How often the model was run for the completion, with --lookup or where masks were filled."""
    unmasking: Unmasking | None = None
    """Of a model that fills masks step by step: in which order it did."""
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
    taps: Sequence[Tap] = ()
    """What else acts in every pass."""
    instead: Instead | None = None
    """What stands in the place of ablated parts, where it is not made of the prompt alone."""


def generate(
    model: Model, question: GenerateQuestion, prompt: Prompt, listener: CompletionListener | None = None
) -> GenerateResult:
    """Continue one prompt."""
    check_generates(model, prompt, question.options)
    options, stated, begun = question.options, question.stated, _target_of(model, question.options.target_language)
    model, ids = (model, prompt.ids) if begun is None else (with_source(model, prompt.ids), begun)
    limits = limits_of(model, options, len(ids), None if stated is None else stated.max_length)
    plan = unmasking_plan(model, ids, question.sampling, options)
    changes, experiments = _changes(model, question, ids)
    search = _search(question, prompt.ids)

    def once(sample: int, changes: PassChanges, listener: CompletionListener | None) -> Completion:
        if sample and listener is not None and listener.text is not None:
            listener.text("\n")  # Each of several on a new line.
        if plan is not None:
            chance = chance_of(question.sampling, options, question.seed, sample)
            return complete_by_filling(model, ids, plan, search.sampling, limits, chance, changes, options)
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
        samples = [once(number, changes, listener) for number in range(usual_of(options, "n"))]
    else:
        samples = [_beam_steps(model, ids, beams[0] if beams else None, changes, limits, options, search.sampling)]
    for name in unreached(Chain(question.taps)):  # What no pass, and nothing that is read out, came to.
        raise never_reached(name, model.names())
    first = samples[0]
    tree = branches(model, ids, first.ids, options.tree, options.alternatives, changes) if options.tree else None
    plain: Completion | Beam | None = None
    if experiments:
        plain = once(0, NO_CHANGES, None) if beams is None else next(iter(searched(NO_CHANGES)), None)
    return GenerateResult(
        prompt=written(model, prompt),
        tokens=token_documents(prompt.tokens),
        prompt_ids=prompt.ids,
        target_ids=begun,
        **{key: getattr(first, key) for key in ("completion", "ids", "steps", "stop", "passes", "unmasking")},
        context_full=True if first.stop == "length" and len(first.ids) < limits.max_tokens else None,
        notes=_notes(model, question, len(prompt.ids), *_read(ids, beams or samples, options.tree)),
        seed=question.seed,
        samples=samples if len(samples) > 1 else None,
        beams=beams,
        tree=tree,
        model_settings=None if stated is None else stated.applied,
        baseline=None if plain is None else UnchangedCompletion(plain.completion, plain.ids),
        change=None if plain is None else CompletionChange(experiments, place_of_difference(plain.ids, first.ids)),
    )


def _target_of(model: Model, language: str | None) -> list[int] | None:
    """What an encoder–decoder writes on from; None of another model, which continues its prompt. Raises UsageError for
    a language where there is no target."""
    if model.can("source"):
        return target_prompt(model, None, None, language=language).ids
    if language is not None:
        raise UsageError(f"--target-language: {model.name} has no target apart from its text", "leave it out")
    return None


def _check_lookup(model: Model, options: GenerateOptions) -> None:
    """Raise UsageError where a guess that was wrong could not be taken back."""
    if options.lookup and model.config.state is not None:
        raise UsageError(
            f"--lookup: layers {ranges(model.config.state_layers)} of {model.name} have a state, which a wrong guess "
            "would spoil",
            "leave it out",
        )
    if options.lookup and (model.engine is not None or not model.config.causal):
        raise UsageError("--lookup needs the engine numpy and a model that keeps what it has read", "leave it out")


def _search(question: GenerateQuestion, source: Sequence[int]) -> BeamSearch:
    """How tokens are chosen; without beams it is what its `sampling` says. `source` is what is written from."""
    options, stated = question.options, question.stated
    filters = {name: value for name, value in vars(question.sampling).items() if name != "seed" and value is not None}
    if options.beams:
        filters["temperature"] = 0
    if stated is not None:
        filters = {"sampler_order": stated.sampler_order, **filters}
    sampling = Sampling(**filters, rules=NO_RULES if stated is None else replace(stated.rules, source=tuple(source)))
    early_stopping = False if stated is None else stated.early_stopping
    return BeamSearch(options.beams or 0, usual_of(options, "length_penalty"), early_stopping, sampling)


def _read(ids: Sequence[int], completions: Sequence[Completion | Beam], tree: int) -> Iterator[int]:
    """How many tokens the model reads: of what it writes all but the last, which nothing follows."""
    yield from (len(ids) + max(0, len(each.ids) - 1) for each in completions)
    yield len(ids) + max(0, tree - 1)


def _changes(model: Model, question: GenerateQuestion, ids: list[int]) -> tuple[PassChanges, list[Experiment]]:
    """What the experiments do, as in `forward`: the patch first, then what is ablated, scaled and steered."""
    if question.experiments.ablate_with == "resample":
        what = "--ablate-with resample takes the positions of one text, and generate writes on"
        raise UsageError(what, "--patch TEXT --into 3.2 is for the prompt; --ablate-with mean for all")
    taps, experiments = experiment_taps(model, question.experiments, ids, question.instead)
    taps = [*taps, *map(Quiet, question.taps)]  # One may change what is read out alone: `generate` sees to those.
    if question.source_ids is None:
        return PassChanges(taps), experiments
    other = other_text(model, ids, question.source_ids, question.patch.align)
    patches, put = into_places(model, ids, other, question.patch, taps)
    return PassChanges(taps, patches), [*put, *experiments]


def written(model: Model, prompt: Prompt) -> str:
    """The prompt's text; ids as they read, and nothing where there is no tokenizer to read them."""
    if prompt.text is not None:
        return prompt.text
    return "" if model.tokenizer is None else "".join(prompt.labels)


def check_writes(model: Model) -> None:
    """Raise UsageError for a model that does not generate."""
    if model.can("generate") or model.can("unmask"):
        return
    says = any(model.can(what) for what in ("fill", "classify", "tag", "answer"))
    hint = "llminspect forward shows what it can say" if says else "llminspect embed shows its vectors"
    raise UsageError(f"{model.name} does not generate: {model.no_next_token()}", hint)


def check_generates(model: Model, prompt: Prompt, options: GenerateOptions) -> None:
    """Raise UsageError for a model that does not generate, and for a prompt that it cannot take; ModelError where what
    its files name as ends of a text are no ids, unless they are ignored."""
    check_writes(model)
    check_prompt(model, prompt)
    _check_lookup(model, options)
    for name, ends in ({} if options.ignore_eos else stated_ends(model.generation)).items():
        if any(type(end) is not int for end in ends):
            what = f"{model.name} states {name} = {as_json(model.generation[name])}, which is no id"
            raise ModelError(what, "--ignore-eos writes on without such an end")


def _notes(model: Model, question: GenerateQuestion, *tokens: int) -> list[str] | None:
    """What is to be noted of texts of so many tokens, the prompt's first, of ends that the model cannot say, and of
    settings left out."""
    options, notes = question.options, list(question.stated.notes if question.stated else ())
    notes += beyond_context(model, tokens[0]) or beyond_context(model, *tokens) or []
    notes += noted_of_examples(model, question.experiments)
    stated = {} if options.ignore_eos else stated_ends(model.generation)
    outside = {name: [end for end in ends if not 0 <= end < model.config.sizes.V] for name, ends in stated.items()}
    last = model.config.sizes.V - 1
    notes += [
        f"{name} = {as_json(ends[0])} ends no text: the ids of {model.name} run from 0 to {last}"
        for name, ends in outside.items()
        if ends
    ]
    return notes or None


def _beam_steps(
    model: Model,
    ids: list[int],
    beam: Beam | None,
    changes: PassChanges,
    whole: Limits,
    options: GenerateOptions,
    sampling: Sampling,
) -> Completion:
    """The best beam step by step, as if each token had been chosen."""
    if beam is None:
        return Completion("", [], [], "length")
    end = longest(model, len(ids) + whole.max_tokens)
    limits = Limits(len(beam.ids), (), False, tuple(beam.ids), end)
    shown, table = options.alternatives, options.steps
    sampling = replace(sampling, of_beams=True)
    forced = complete(model, ids, sampling, limits, seed=None, changes=changes, alternatives=shown, table=table)
    return Completion(beam.completion, beam.ids, [replace(step, forced=None) for step in forced.steps], beam.stop)


def limits_of(model: Model, options: GenerateOptions, start: int, max_length: int | None = None) -> Limits:
    """When to stop, after a prompt of `start` tokens; `max_length` counts those too, where --max-tokens is not given.

    Raises UsageError for an empty stop string, for a prefix that the tokenizer does not take, and for a prompt that is
    as long as all may become.
    """
    most = usual_of(options, "max_tokens") if max_length is None else max_length - start
    if max_length is not None and most < 1:
        raise UsageError(
            f"by its own settings {model.name} ends at max_length = {max_length}, and the text has {start} tokens",
            "--max-tokens N writes N tokens all the same",
        )
    stops = tuple(each(options.stop))
    if "" in stops:
        raise UsageError("--stop is empty", "give the text to stop before")
    forced: tuple[int, ...] = ()
    if options.prefix:
        if model.tokenizer is None:
            raise UsageError("--prefix takes text; this model comes without a tokenizer")
        forced = tuple(model.tokenizer.encode_ids(options.prefix))
    return Limits(most, stops, options.ignore_eos, forced)
