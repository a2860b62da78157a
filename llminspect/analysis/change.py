"""`forward` with an experiment: the answer before, the answer after, and what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.candidates import Candidate, NamedToken, candidates, token_text
from llminspect.core.sampling import top_ids
from llminspect.core.unembed import log_softmax

if TYPE_CHECKING:
    from llminspect.analysis.experiments import Experiment
    from llminspect.core.array import Array
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Baseline:
    """The model left alone."""

    next: list[Candidate]


@dataclass(frozen=True)
class Shift(NamedToken):
    """One token before and after."""

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
    before_V = np.exp(log_before_V)
    return max(0.0, float(np.sum(np.where(before_V > 0, before_V * (log_before_V - log_after_V), 0.0)) / np.log(2)))
