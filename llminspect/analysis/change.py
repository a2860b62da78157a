"""`forward` with an experiment: the answer before, the answer after, and what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.candidates import Candidate, candidates, token_text
from llminspect.analysis.experiments import Experiment, experiment_taps
from llminspect.analysis.patching import deepest, first_order, into_places, other_text, patch_taps, patches_made, sweep
from llminspect.arguments.tokens import TokenChoice, one_token
from llminspect.core.intervention import Place
from llminspect.core.sampling import top_ids
from llminspect.core.tap import Chain
from llminspect.core.unembed import log_softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.patching import Other, Sweep
    from llminspect.arguments.experiments import ExperimentOptions
    from llminspect.arguments.forward import SweepOptions
    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Baseline:
    """The model left alone."""

    next: list[Candidate]


@dataclass(frozen=True)
class Shift:
    """One token before and after."""

    id: int
    text: str
    prob_before: float
    prob_after: float
    logit_change: float


@dataclass(frozen=True)
class AnswerChange:
    """What the experiment did."""

    experiments: list[Experiment]
    kl: float
    """KL(before ‖ after) of the two next-token distributions, in bits."""
    largest_logit_change: float
    tokens: list[Shift]


@dataclass(frozen=True)
class PreparedExperiments:
    """The taps of all experiments of this run."""

    taps: list[Tap]
    experiments: list[Experiment]
    sweep: Sweep | None = None


def prepare_experiments(
    model: Model,
    ids: Sequence[int],
    position: int,
    source_ids: Sequence[int] | None,
    patch: SweepOptions,
    options: ExperimentOptions,
    answers: tuple[TokenChoice | None, TokenChoice | None],
    by_gradient: bool = False,
) -> PreparedExperiments:
    """The patch acts first, then what is ablated, scaled and steered, in the text that is patched from as well."""
    taps, done = experiment_taps(model, options, ids)
    if source_ids is None:
        return PreparedExperiments(taps, done)

    other = other_text(model, ids, source_ids)
    if patch.into:
        made, put = into_places(model, ids, other, patch, taps)
        return PreparedExperiments([*made, *taps], [*put, *done])
    chosen = _answers(model, ids, other, position, answers, taps)
    find = first_order if by_gradient else sweep
    swept = find(model, ids, other, position, patch.sweep, chosen, taps)
    places = [Place(deepest(swept) if patch.sweep == "stream" else 0, "stream")]
    made = patch_taps(places, swept.differing, other, taps)
    return PreparedExperiments([*made, *taps], [*patches_made(patch, places, swept.differing), *done], swept)


def _answers(
    model: Model,
    ids: Sequence[int],
    other: Other,
    position: int,
    given: tuple[TokenChoice | None, TokenChoice | None],
    taps: Sequence[Tap],
) -> tuple[int, int]:
    """The other text's answer and this text's, unless --target and --versus say which."""

    def best(reader: Model, own: Sequence[int]) -> int:
        stream_TD = reader.run(own, Chain(taps)).stream_TD
        return int(np.argmax(reader.logits(stream_TD[position : position + 1])[0]))

    target = best(other.model, other.ids) if given[0] is None else one_token(model, given[0], "--target")
    versus = best(model, ids) if given[1] is None else one_token(model, given[1], "--versus")
    return target, versus


def compare_answers(
    model: Model, before_V: Array, after_V: Array, count: int, experiments: list[Experiment]
) -> tuple[Baseline, AnswerChange]:
    """Compare two rows of logits."""

    log_before, log_after = (log_softmax(logits.astype(np.float64)) for logits in (before_V, after_V))
    shown = list(dict.fromkeys([*top_ids(before_V, count), *top_ids(after_V, count)]))
    shifts = [
        Shift(
            token_id,
            token_text(model, token_id),
            float(np.exp(log_before[token_id])),
            float(np.exp(log_after[token_id])),
            float(after_V[token_id]) - float(before_V[token_id]),
        )
        for token_id in shown
    ]
    return Baseline(candidates(model, before_V, count)), AnswerChange(
        experiments,
        kl=divergence(log_before, log_after),
        largest_logit_change=float(np.max(np.abs(after_V.astype(np.float64) - before_V))),
        tokens=shifts,
    )


def divergence(log_before_V: Array, log_after_V: Array) -> float:
    """KL(before ‖ after) = Σ p (ln p − ln q), in bits; never below 0 by rounding."""

    own = np.exp(log_before_V)
    return max(0.0, float(np.sum(np.where(own > 0, own * (log_before_V - log_after_V), 0.0)) / np.log(2)))
