"""`llminspect forward`: a text through every layer to the most probable next tokens, and what changes them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.commands._documents import Tokens
from llminspect.commands._experiments import ExperimentOptions
from llminspect.commands._forward_options import LookOptions, SweepOptions, check_options
from llminspect.commands._input import Prompt, read_prompts, text_prompt, token_documents
from llminspect.commands._options import EngineOptions, ModelOptions, PageOptions, SourceOptions, takes_groups
from llminspect.commands._run import check_prompt, open_for, run_each
from llminspect.commands._save import check_ending, is_page
from llminspect.commands._target import refuse_target, target_prompt, with_source
from llminspect.commands._words import Candidate, candidates, check_exists, one_token, select
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.commands._forward_attribution import Attribution
    from llminspect.commands._forward_by_hand import Written
    from llminspect.commands._forward_change import Baseline, Change, Prepared
    from llminspect.commands._forward_lens import LensLayer, Ranked, Said
    from llminspect.commands._forward_masked import Masked
    from llminspect.commands._forward_patch import Sweep
    from llminspect.commands._forward_saliency import Saliency
    from llminspect.commands._forward_surprise import Surprise
    from llminspect.commands._forward_trace import FeedForward, LayerTrace, Routing
    from llminspect.commands._forward_watch import Watched
    from llminspect.core.array import Array
    from llminspect.core.trace import Step
    from llminspect.model import Model


@dataclass(frozen=True)
class Result:
    """What a pass over the text gives. A key is there when it was asked for."""

    text: str | None
    tokens: Tokens
    position: int
    """The position whose next token is predicted."""
    layers: list[LayerTrace]
    source: Tokens | None = None
    """For an encoder–decoder: the text's tokens; `tokens` are then those of the target so far."""
    next: list[Candidate] | None = None
    masked: list[Masked] | None = None
    """For a masked model, in place of `next`: what each mask token stands for."""
    before: list[Step] | None = None
    """With --trace: the steps before the first layer."""
    after: list[Step] | None = None
    """With --trace: the steps after the last layer."""
    feedforward: list[FeedForward] | None = None
    experts: list[Routing] | None = None
    """For a mixture of experts: which of them each token went to."""
    steps: list[Written] | None = None
    lens: list[LensLayer] | None = None
    grid: list[list[Said]] | None = None
    """With --lens --all: the most probable token after each layer [L] at each position [T]."""
    attribution: Attribution | None = None
    saliency: Saliency | None = None
    surprise: Surprise | None = None
    target: Ranked | None = None
    """Where the token of --target stands among the next tokens."""
    sweep: Sweep | None = None
    baseline: Baseline | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Asked:
    """What the command line asks of `run`. `source_ids` is the text that --patch takes from, of an encoder–decoder
    another source in front of the same target."""

    look: LookOptions = field(default_factory=LookOptions)
    patch: SweepOptions = field(default_factory=SweepOptions)
    experiments: ExperimentOptions = field(default_factory=ExperimentOptions)
    source_ids: Sequence[int] | None = None


def run(model: Model, asked: Asked, prompt: Prompt) -> Result:
    """One pass over the text, watched, and whatever else was asked of it."""
    if model.can("source"):
        return _translated(model, asked, prompt)
    look = asked.look
    refuse_target(model, look.target_ids)
    if look.surprise or look.perplexity:
        return _heard(model, asked, prompt)
    check_prompt(model, prompt)
    ids = prompt.ids
    position = len(ids) - 1 if look.at is None else look.at
    check_exists(position, len(ids), "position")
    changed = _prepared(model, asked, ids, position)
    seen = _watched(model, asked, ids, position, changed)
    target = _target(model, look, seen)
    parts = _views(model, asked, prompt, position, seen, changed, target)
    baseline = change = None
    if changed.experiments and seen.logits_V is not None:
        from llminspect.commands import _forward_change

        plain = _watched(model, Asked(), ids, position, None).logits_V
        assert plain is not None
        baseline, change = _forward_change.change(model, plain, seen.logits_V, look.top, changed.experiments)
    return Result(
        text=prompt.text,
        tokens=token_documents(prompt.tokens),
        position=position,
        layers=seen.layers,
        before=seen.before if look.trace else None,
        after=seen.after if look.trace else None,
        sweep=changed.sweep,
        baseline=baseline,
        change=change,
        **parts,
    )


def _translated(model: Model, asked: Asked, prompt: Prompt) -> Result:
    """An encoder–decoder: the text goes through the encoder, and what follows is about the target so far."""
    check_prompt(model, prompt)
    target = target_prompt(model, asked.look.target, asked.look.target_ids)
    look = replace(asked.look, target=None, target_ids=None)
    decoder = with_source(model, prompt.ids)
    decoder = replace(decoder, architecture=replace(decoder.architecture, capabilities=frozenset({"generate"})))
    return replace(run(decoder, replace(asked, look=look), target), source=token_documents(prompt.tokens))


def _prepared(model: Model, asked: Asked, ids: list[int], position: int) -> Prepared:
    from llminspect.commands._forward_change import prepare

    answers = (asked.look.target, asked.look.versus)
    first_order = asked.look.gradient and asked.source_ids is not None
    return prepare(model, ids, position, asked.source_ids, asked.patch, asked.experiments, answers, first_order)


def _watched(model: Model, asked: Asked, ids: list[int], position: int, changed: Prepared | None) -> Watched:
    from llminspect.commands._forward_by_hand import fits_on_a_page
    from llminspect.commands._forward_watch import watch

    layers = model.config.sizes.L
    opened = select(asked.look.layer, layers, "layer", "--layer")
    return watch(
        model,
        ids,
        position,
        opened=opened or [],
        fed=opened or [layers - 1],
        trace=asked.look.trace,
        everything=asked.look.steps or fits_on_a_page(model),
        heads=asked.look.attribution,
        taps=changed.taps if changed else [],
    )


def _target(model: Model, look: LookOptions, seen: Watched) -> int | None:
    """The token in question: --target, or the most probable."""
    if look.target is not None:
        return one_token(model, look.target, "--target")
    if seen.logits_V is None:
        return None
    import numpy as np

    return int(np.argmax(seen.logits_V))


def _views(
    model: Model, asked: Asked, prompt: Prompt, position: int, seen: Watched, changed: Prepared, target: int | None
) -> dict[str, Any]:
    """The fields of the Result that are there when asked for."""
    from llminspect.commands._forward_by_hand import by_hand, fits_on_a_page
    from llminspect.commands._forward_trace import feed_forward, routing

    look, ids, layers = asked.look, prompt.ids, model.config.sizes.L
    opened = select(look.layer, layers, "layer", "--layer") or [layers - 1]
    fed = [feed_forward(model, seen.capture, layer, position) for layer in opened]
    parts: dict[str, Any] = {
        "feedforward": [step for step in fed if step is not None] or None,
        "experts": routing(model, seen.capture),
    }
    if seen.logits_V is None or target is None:
        _refuse_without_logits(model, look)
        return parts
    if model.can("fill"):
        from llminspect.commands._forward_masked import fill_masks

        parts["masked"] = fill_masks(model, ids, look.top, changed.taps)
    else:
        parts["next"] = candidates(model, seen.logits_V, look.top)
        if look.target is not None:
            from llminspect.commands._forward_lens import ranked

            parts["target"] = ranked(model, seen.logits_V, target)
    if look.steps or fits_on_a_page(model):
        answer = candidates(model, seen.logits_V, 1)[0]
        parts["steps"] = by_hand(model, seen.capture, ids, position, seen.logits_V, answer)
    if look.lens:
        from llminspect.commands._forward_lens import lens, lens_grid

        parts["lens"] = lens(model, seen.rows, look.top, target if look.target is not None else None)
        parts["grid"] = lens_grid(model, ids, changed.taps) if look.all else None
    if look.attribution:
        from llminspect.commands._forward_attribution import attribute

        versus = None if look.versus is None else one_token(model, look.versus, "--versus")
        parts["attribution"] = attribute(model, seen, target, versus, changed.experiments)
    if look.saliency:
        from llminspect.commands import _forward_saliency

        measure = _forward_saliency.by_gradient if look.gradient else _forward_saliency.saliency
        parts["saliency"] = measure(model, ids, position, target, changed.taps)
    return parts


def _refuse_without_logits(model: Model, look: LookOptions) -> None:

    for name in ("lens", "attribution", "saliency", "steps"):
        if getattr(look, name):
            raise UsageError(f"--{name}: {model.name} gives vectors, not tokens", "llminspect embed shows its vectors")


def _heard(model: Model, asked: Asked, prompt: Prompt) -> Result:
    """The surprisal of a text of any length; nothing else is watched."""
    from llminspect.commands._experiments import experiment_taps
    from llminspect.commands._forward_surprise import surprise

    if asked.look.target is not None:
        raise UsageError("--surprise scores the tokens of the text, not --target", "ask for one at a time")
    check_prompt(model, Prompt(prompt.text, prompt.tokens[: model.config.sizes.context]))
    taps, _ = experiment_taps(model, asked.experiments, prompt.ids[: model.config.sizes.context])
    heard = surprise(model, prompt.ids, asked.look.window, taps)
    return Result(prompt.text, token_documents(prompt.tokens), len(prompt.ids) - 1, [], surprise=heard)


def render(result: Result) -> RenderableType:
    """The text, the way through the layers, the answer."""
    from llminspect.commands._forward_render import forward_view

    return forward_view(result)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: PageOptions,
    engine: EngineOptions,
    look: LookOptions,
    patch: SweepOptions,
    experiments: ExperimentOptions,
) -> None:
    """Follow a text through every layer to the most probable next tokens, and change what happens on the way.

    llminspect forward "The capital of France is" --lens --target " Paris"
    """
    check_options(look, patch, experiments)
    check_ending(output, arrays=True)
    if is_page(output) and not look.lens:
        raise UsageError("--interactive goes with --lens here", "add --lens, or leave it out")
    if look.perplexity and output.save is not None and not output.json:
        raise UsageError(
            "--perplexity gives a number and nothing to save", "--surprise --save keeps all, or add --json"
        )
    opened = open_for(model, output, engine)
    source_ids = None if patch.patch is None else text_prompt(patch.patch, source, opened.tokenizer, None).ids
    asked = Asked(look, patch, experiments, source_ids)
    prompts = read_prompts(source, opened.tokenizer)
    if look.perplexity and not output.json:
        from llminspect.commands._forward_surprise import write_perplexities

        write_perplexities(prompts, lambda prompt: run(opened, asked, prompt).surprise)
        return
    arrays = partial(saved, opened, asked)
    run_each("forward", opened.name, opened.provenance, prompts, output, partial(run, opened, asked), render, arrays)


def saved(model: Model, asked: Asked, result: Result) -> dict[str, Array]:
    """The full arrays of `--save F.npz`, in a pass of their own: nobody else pays for keeping them."""
    from llminspect.commands._forward_watch import full_arrays

    ids = [token["id"] for token in result.tokens]
    if len(ids) > model.config.sizes.context:
        raise UsageError("--save .npz keeps one pass, and this text takes several windows", "save .json, or shorten it")
    beside: dict[str, Array] = {}
    if result.source is not None:
        import numpy as np

        source_ids = [token["id"] for token in result.source]
        model, beside = with_source(model, source_ids), {"source_ids": np.asarray(source_ids)}
    return full_arrays(model, ids, _prepared(model, asked, ids, result.position).taps) | beside
