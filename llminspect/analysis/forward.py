"""`llminspect forward`: a text through every layer to the most probable next tokens, and what changes them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.candidates import Candidate, candidates
from llminspect.analysis.documents import Tokens, token_documents
from llminspect.analysis.prompt import check_prompt
from llminspect.analysis.target import refuse_target, target_prompt, with_source
from llminspect.arguments.experiments import ExperimentOptions
from llminspect.arguments.forward import ForwardOptions, SweepOptions
from llminspect.arguments.ranges import check_exists, parse_choice
from llminspect.arguments.tokens import one_token
from llminspect.errors import UsageError
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.attribution import Attribution
    from llminspect.analysis.by_hand import Written
    from llminspect.analysis.change import AnswerChange, Baseline, PreparedExperiments
    from llminspect.analysis.forward_pass import WatchedPass
    from llminspect.analysis.lens import LensLayer, LensToken, Ranked
    from llminspect.analysis.masks import FilledMask
    from llminspect.analysis.patching import Sweep
    from llminspect.analysis.saliency import Saliency
    from llminspect.analysis.surprise import Surprise
    from llminspect.analysis.trace import FeedForward, LayerTrace, Routing
    from llminspect.core.array import Array
    from llminspect.core.trace import Step
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class ForwardResult:
    """What a pass over the text gives. A key is there when it was asked for."""

    text: str | None
    tokens: Tokens
    position: int
    """The position whose next token is predicted."""
    layers: list[LayerTrace]
    source: Tokens | None = None
    """For an encoder–decoder: the text's tokens; `tokens` are then those of the target so far."""
    next: list[Candidate] | None = None
    masked: list[FilledMask] | None = None
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
    grid: list[list[LensToken]] | None = None
    """With --lens --all: the most probable token after each layer [L] at each position [T]."""
    attribution: Attribution | None = None
    saliency: Saliency | None = None
    surprise: Surprise | None = None
    target: Ranked | None = None
    """Where the token of --target stands among the next tokens."""
    sweep: Sweep | None = None
    baseline: Baseline | None = None
    change: AnswerChange | None = None


@dataclass(frozen=True)
class ForwardQuestion:
    """What the command line asks of `run`. `source_ids` is the text that --patch takes from, of an encoder–decoder
    another source in front of the same target."""

    look: ForwardOptions = field(default_factory=ForwardOptions)
    patch: SweepOptions = field(default_factory=SweepOptions)
    experiments: ExperimentOptions = field(default_factory=ExperimentOptions)
    source_ids: Sequence[int] | None = None


def forward(model: Model, asked: ForwardQuestion, prompt: Prompt) -> ForwardResult:
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
        from llminspect.analysis.change import compare_answers

        plain = _watched(model, ForwardQuestion(), ids, position, None).logits_V
        assert plain is not None
        baseline, change = compare_answers(model, plain, seen.logits_V, look.top, changed.experiments)
    return ForwardResult(
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


def _translated(model: Model, asked: ForwardQuestion, prompt: Prompt) -> ForwardResult:
    """An encoder–decoder: the text goes through the encoder, and what follows is about the target so far."""
    check_prompt(model, prompt)
    target = target_prompt(model, asked.look.target, asked.look.target_ids)
    look = replace(asked.look, target=None, target_ids=None)
    decoder = with_source(model, prompt.ids)
    decoder = replace(decoder, architecture=replace(decoder.architecture, capabilities=frozenset({"generate"})))
    return replace(forward(decoder, replace(asked, look=look), target), source=token_documents(prompt.tokens))


def _prepared(model: Model, asked: ForwardQuestion, ids: list[int], position: int) -> PreparedExperiments:
    from llminspect.analysis.change import prepare_experiments

    answers = (asked.look.target, asked.look.versus)
    first_order = asked.look.gradient and asked.source_ids is not None
    return prepare_experiments(
        model, ids, position, asked.source_ids, asked.patch, asked.experiments, answers, first_order
    )


def _watched(
    model: Model, asked: ForwardQuestion, ids: list[int], position: int, changed: PreparedExperiments | None
) -> WatchedPass:
    from llminspect.analysis.by_hand import fits_on_a_page
    from llminspect.analysis.forward_pass import watch_pass

    layers = model.config.sizes.L
    opened = parse_choice(asked.look.layer, "layer", layers)
    return watch_pass(
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


def _target(model: Model, look: ForwardOptions, seen: WatchedPass) -> int | None:
    """The token in question: --target, or the most probable."""
    if look.target is not None:
        return one_token(model, look.target, "--target")
    if seen.logits_V is None:
        return None

    return int(np.argmax(seen.logits_V))


def _views(
    model: Model,
    asked: ForwardQuestion,
    prompt: Prompt,
    position: int,
    seen: WatchedPass,
    changed: PreparedExperiments,
    target: int | None,
) -> dict[str, Any]:
    """The fields of the Result that are there when asked for."""
    from llminspect.analysis.by_hand import by_hand, fits_on_a_page
    from llminspect.analysis.trace import feed_forward, routing

    look, ids, layers = asked.look, prompt.ids, model.config.sizes.L
    opened = parse_choice(look.layer, "layer", layers) or [layers - 1]
    fed = [feed_forward(model, seen.capture, layer, position) for layer in opened]
    parts: dict[str, Any] = {
        "feedforward": [step for step in fed if step is not None] or None,
        "experts": routing(model, seen.capture),
    }
    if seen.logits_V is None or target is None:
        _refuse_without_logits(model, look)
        return parts
    if model.can("fill"):
        from llminspect.analysis.masks import fill_masks

        parts["masked"] = fill_masks(model, ids, look.top, changed.taps)
    else:
        parts["next"] = candidates(model, seen.logits_V, look.top)
        if look.target is not None:
            from llminspect.analysis.lens import ranked

            parts["target"] = ranked(model, seen.logits_V, target)
    if look.steps or fits_on_a_page(model):
        answer = candidates(model, seen.logits_V, 1)[0]
        parts["steps"] = by_hand(model, seen.capture, ids, position, seen.logits_V, answer)
    if look.lens:
        from llminspect.analysis.lens import lens, lens_grid

        parts["lens"] = lens(model, seen.rows, look.top, target if look.target is not None else None)
        parts["grid"] = lens_grid(model, ids, changed.taps) if look.all else None
    if look.attribution:
        from llminspect.analysis.attribution import attribute

        versus = None if look.versus is None else one_token(model, look.versus, "--versus")
        parts["attribution"] = attribute(model, seen, target, versus, changed.experiments)
    if look.saliency:
        from llminspect.analysis.saliency import by_gradient, saliency

        measure = by_gradient if look.gradient else saliency
        parts["saliency"] = measure(model, ids, position, target, changed.taps)
    return parts


def _refuse_without_logits(model: Model, look: ForwardOptions) -> None:

    for name in ("lens", "attribution", "saliency", "steps"):
        if getattr(look, name):
            raise UsageError(f"--{name}: {model.name} gives vectors, not tokens", "llminspect embed shows its vectors")


def _heard(model: Model, asked: ForwardQuestion, prompt: Prompt) -> ForwardResult:
    """The surprisal of a text of any length; nothing else is watched."""
    from llminspect.analysis.experiments import experiment_taps
    from llminspect.analysis.surprise import surprise

    if asked.look.target is not None:
        raise UsageError("--surprise scores the tokens of the text, not --target", "ask for one at a time")
    check_prompt(model, Prompt(prompt.text, prompt.tokens[: model.config.sizes.context]))
    taps, _ = experiment_taps(model, asked.experiments, prompt.ids[: model.config.sizes.context])
    heard = surprise(model, prompt.ids, asked.look.window, taps)
    return ForwardResult(prompt.text, token_documents(prompt.tokens), len(prompt.ids) - 1, [], surprise=heard)


def forward_arrays(model: Model, asked: ForwardQuestion, result: ForwardResult) -> dict[str, Array]:
    """The full arrays of `--save F.npz`, in a pass of their own: nobody else pays for keeping them."""
    from llminspect.analysis.forward_pass import full_arrays

    ids = [token["id"] for token in result.tokens]
    if len(ids) > model.config.sizes.context:
        raise UsageError("--save .npz keeps one pass, and this text takes several windows", "save .json, or shorten it")
    beside: dict[str, Array] = {}
    if result.source is not None:
        source_ids = [token["id"] for token in result.source]
        model, beside = with_source(model, source_ids), {"source_ids": np.asarray(source_ids)}
    return full_arrays(model, ids, _prepared(model, asked, ids, result.position).taps) | beside
