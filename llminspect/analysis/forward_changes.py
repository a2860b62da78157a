"""What changes a pass of `forward`: the taps of all its experiments, and its sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.analysis.labels import no_next_token
from llminspect.arguments.experiments import ExperimentOptions, ablates_each, without_each
from llminspect.arguments.ranges import parse_choice
from llminspect.core.tap import Tap
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.experiments import Experiment
    from llminspect.analysis.forward_result import ForwardQuestion
    from llminspect.analysis.silencing import Silencing
    from llminspect.analysis.sweeping import Sweep


def prepared(
    model: Model,
    question: ForwardQuestion,
    ids: list[int],
    position: int,
    answers: Sequence[int | None],
    swept: Sweep | None = None,
) -> tuple[list[Tap], list[Experiment], Sweep | None]:
    """The taps of all experiments of this run, and what they do. The patch acts first, then what is ablated, scaled and
    steered, in the text that is patched from as well. `swept` is a sweep that was made before."""
    if question.source_ids is None and question.experiments == ExperimentOptions():
        return [], [], None
    from llminspect.analysis.experiments import experiment_taps

    changes = without_each(question.experiments)
    taps, made = experiment_taps(model, changes, ids, question.instead, question.of_examples_D)
    if question.source_ids is None:
        return taps, made, None
    from llminspect.analysis import patching, sweeping
    from llminspect.core.intervention import Place

    patch = question.patch
    other = patching.other_text(model, ids, question.source_ids, patch.align)
    if patch.into:
        patches, patched = patching.into_places(model, ids, other, patch, taps)
        return [*patches, *taps], [*patched, *made], None
    if swept is None:
        how, part = _how_to_sweep(model, question), patch.sweep or "stream"
        swept = sweeping.sweep(model, ids, other, position, part, answers, taps, noising=patch.noising, **how)
        swept = replace(swept, opened=parse_choice(question.look.layer, "layer", model.config.sizes.L))
    if patch.noising or swept.part != "stream":  # No one place stands for all, or it is the other text that is changed.
        return taps, made, swept
    places = [Place(sweeping.deepest(swept)[0], "stream")]
    there = dict(other.pairs(len(ids)))
    patches = patching.patch_taps(places, swept.differing, other, taps, [there[at] for at in swept.differing])
    return [*patches, *taps], [*patching.patches_made(patch, places, swept.differing), *made], swept


def _how_to_sweep(model: Model, question: ForwardQuestion) -> dict[str, Any]:
    return {"gradient": question.look.gradient, "exact": question.look.exact, "watcher": question.watcher}


def silenced_each(
    model: Model,
    question: ForwardQuestion,
    ids: list[int],
    position: int,
    answers: Sequence[int | None],
    taps: Sequence[Tap],
) -> Silencing | None:
    """With --ablate each: what comes of silencing each place."""
    if not ablates_each(question.experiments):
        return None
    if not (model.can("generate") or model.can("fill")):
        raise no_next_token(model, "--ablate each")
    from llminspect.analysis.silencing import silence_each

    part, how = question.patch.sweep or "head", _how_to_sweep(model, question)
    found = silence_each(
        model, ids, position, part, answers, taps, without_each(question.experiments), question.instead, **how
    )
    return replace(found, opened=parse_choice(question.look.layer, "layer", model.config.sizes.L))
