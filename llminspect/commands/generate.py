"""`llminspect generate`: one token after another, each with its probability and the runners-up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from llminspect.commands._documents import Tokens
from llminspect.commands._experiments import ExperimentOptions
from llminspect.commands._generate_options import GenerateOptions, SamplingOptions, sampling_of, seed_of
from llminspect.commands._input import Prompt, read_prompts, text_prompt, token_documents
from llminspect.commands._options import EngineOptions, ModelOptions, OutputOptions, SourceOptions, takes_groups
from llminspect.commands._patch import PatchOptions, check_place
from llminspect.commands._run import check_prompt, open_for, run_each
from llminspect.commands._save import check_ending
from llminspect.commands._target import target_prompt, with_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from llminspect.commands._experiments import Experiment
    from llminspect.commands._generate_search import Beam, Twig
    from llminspect.commands._generate_steps import Changes, Completion, Listener, StepRecord, Stop
    from llminspect.model import Model


@dataclass(frozen=True)
class Unchanged:
    """What the model writes without the experiment."""

    completion: str
    ids: list[int]


@dataclass(frozen=True)
class Change:
    """Where the experiment made a difference."""

    experiments: list[Experiment]
    first_difference: int | None
    """The first token that differs; None: none does."""


@dataclass(frozen=True)
class Result:
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
    tree: list[Twig] | None = None
    passes: int | None = None
    """How often the model was run for the completion, with --lookup."""
    baseline: Unchanged | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Asked:
    """What the command line asks of `run`. `source_ids` is the text that --patch takes from, of an encoder–decoder
    another source."""

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    options: GenerateOptions = field(default_factory=GenerateOptions)
    experiments: ExperimentOptions = field(default_factory=ExperimentOptions)
    seed: int | None = None
    """None: the most probable token each time."""
    patch: PatchOptions = field(default_factory=PatchOptions)
    source_ids: Sequence[int] | None = None


def run(model: Model, asked: Asked, prompt: Prompt, listener: Listener | None = None) -> Result:
    """Continue one prompt."""
    from llminspect.commands._generate_options import limits_of
    from llminspect.commands._generate_search import branches, search_beams
    from llminspect.commands._generate_steps import UNCHANGED, complete

    check(model, prompt)
    ids, options = prompt.ids, asked.options
    if model.can("source"):
        model = with_source(model, prompt.ids)
        ids = target_prompt(model, None, None).ids
    limits = limits_of(model, options)
    _check_lookup(model, options.lookup)
    changes, experiments = _changes(model, asked, ids)
    sampling = sampling_of(asked.sampling)

    def once(sample: int, changes: Changes, listener: Listener | None) -> Completion:
        return complete(
            model,
            ids,
            sampling,
            limits,
            seed=None if asked.seed is None else (asked.seed, sample),
            changes=changes,
            alternatives=options.alternatives,
            table=options.steps,
            listener=listener,
            lookup=options.lookup,
        )

    searched = partial(search_beams, model, ids, options.beams, options.length_penalty, limits)
    beams = searched(changes) if options.beams else None
    if beams is None:
        samples = [_apart(once, number, changes, listener) for number in range(options.n)]
    else:
        samples = [_retold(model, ids, beams[0] if beams else None, changes, options)]
    first = samples[0]
    tree = branches(model, ids, first.ids, options.tree, options.alternatives, changes) if options.tree else None
    plain: Completion | Beam | None = None
    if experiments:
        plain = once(0, UNCHANGED, None) if beams is None else next(iter(searched(UNCHANGED)), None)
    return Result(
        prompt=written(model, prompt),
        tokens=token_documents(prompt.tokens),
        prompt_ids=prompt.ids,
        completion=first.completion,
        ids=first.ids,
        steps=first.steps,
        stop=first.stop,
        context_full=True if first.stop == "length" and len(first.ids) < options.max_tokens else None,
        seed=asked.seed,
        samples=samples if options.n > 1 else None,
        beams=beams,
        tree=tree,
        passes=first.passes,
        baseline=None if plain is None else Unchanged(plain.completion, plain.ids),
        change=None if plain is None else Change(experiments, _first_difference(plain.ids, first.ids)),
    )


def _changes(model: Model, asked: Asked, ids: list[int]) -> tuple[Changes, list[Experiment]]:
    """What the experiments do, as in `forward`: the patch first, then what is ablated, scaled and steered."""
    from llminspect.commands._experiments import experiment_taps
    from llminspect.commands._generate_steps import Changes
    from llminspect.commands._patch import into_places, other_text

    taps, experiments = experiment_taps(model, asked.experiments, ids)
    if asked.source_ids is None:
        return Changes(taps), experiments
    other = other_text(model, ids, asked.source_ids)
    patches, put = into_places(model, ids, other, asked.patch, taps)
    return Changes(taps, patches), [*put, *experiments]


def _apart(once: Callable[..., Completion], number: int, changes: Changes, listener: Listener | None) -> Completion:
    """One of several completions, on a line of its own where they are followed."""
    if number and listener is not None and listener.text is not None:
        listener.text("\n")
    return once(number, changes, listener)


def written(model: Model, prompt: Prompt) -> str:
    """The prompt's text; ids as they read, and nothing where there is no tokenizer to read them."""
    if prompt.text is not None:
        return prompt.text
    return "" if model.tokenizer is None else "".join(prompt.labels)


def check(model: Model, prompt: Prompt) -> None:
    """Raise UsageError for a model that does not generate, and for a prompt that it cannot take."""
    from llminspect.errors import UsageError

    check_prompt(model, prompt)
    if not (model.can("generate") or model.can("source")):
        raise UsageError(
            f"{model.name} does not generate: it reads a text both ways", "llminspect forward shows what it can say"
        )


def _check_lookup(model: Model, lookup: int) -> None:
    from llminspect.errors import UsageError

    if not lookup:
        return
    if model.engine is not None or not model.config.causal:
        raise UsageError("--lookup needs the engine numpy and a model that keeps what it has read", "leave it out")


def _retold(model: Model, ids: list[int], beam: Beam | None, changes: Changes, options: GenerateOptions) -> Completion:
    """The best beam told step by step, as if each token had been chosen."""
    from llminspect.commands._generate_steps import Completion, Limits, complete
    from llminspect.core.sampling import Sampling

    if beam is None:
        return Completion("", [], [], "length")
    limits = Limits(len(beam.ids), (), False, tuple(beam.ids))
    shown, table = options.alternatives, options.steps
    told = complete(model, ids, Sampling(), limits, seed=None, changes=changes, alternatives=shown, table=table)
    return Completion(beam.completion, beam.ids, [replace(step, forced=None) for step in told.steps], beam.stop)


def _first_difference(before: list[int], after: list[int]) -> int | None:
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            return index
    return None if len(before) == len(after) else min(len(before), len(after))


def render(result: Result) -> RenderableType:
    """The text, then each token with its probability and the runners-up."""
    from llminspect.commands._generate_render import generate_view

    return generate_view(result)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    engine: EngineOptions,
    sampling: SamplingOptions,
    options: GenerateOptions,
    patch: PatchOptions,
    experiments: ExperimentOptions,
    stream: Annotated[bool, typer.Option("--stream", help="Only the text, as it is written.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Redraw the most probable tokens as it writes.")] = False,
) -> None:
    """Continue a text token by token, each with its probability and the runners-up.

    llminspect generate "The capital of France is"
    """
    from llminspect.commands._generate_follow import followed

    check_ending(output, arrays=False)
    check_place(patch)
    seed = seed_of(sampling, options)
    following = followed(source, output, options, stream=stream, watch=watch)
    opened = open_for(model, output, engine)
    if opened.engine is not None and seed is not None and sampling.seed is None:
        seed = opened.engine.agreed(seed)
    source_ids = None if patch.patch is None else text_prompt(patch.patch, source, opened.tokenizer, None).ids
    asked = Asked(sampling, options, experiments, seed, patch, source_ids)
    prompts = read_prompts(source, opened.tokenizer)
    provenance = {**opened.provenance, **({} if asked.seed is None else {"seed": asked.seed})}
    run_each(
        "generate",
        opened.name,
        provenance,
        prompts,
        output,
        lambda prompt: following.run(partial(run, opened, asked, prompt), opened, prompt),
        render,
        show=following.show,
    )
