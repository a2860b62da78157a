"""`forward` with an experiment: the answer before, the answer after, and what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.commands._experiments import Experiment, ExperimentOptions, experiment_taps
from llminspect.commands._words import Candidate, candidates, one_token, token_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.commands._forward_options import SweepOptions
    from llminspect.commands._forward_patch import Sweep
    from llminspect.commands._patch import Other
    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model import Model


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
class Change:
    """What the experiment did."""

    experiments: list[Experiment]
    kl: float
    """KL(before ‖ after) of the two next-token distributions, in bits."""
    largest_logit_change: float
    tokens: list[Shift]


@dataclass(frozen=True)
class Prepared:
    """The taps of all experiments of this run."""

    taps: list[Tap]
    experiments: list[Experiment]
    sweep: Sweep | None = None


def prepare(
    model: Model,
    ids: Sequence[int],
    position: int,
    source_ids: Sequence[int] | None,
    patch: SweepOptions,
    options: ExperimentOptions,
    answers: tuple[str | None, str | None],
    first_order: bool = False,
) -> Prepared:
    """The patch acts first, then what is ablated, scaled and steered, in the text that is patched from as well."""
    taps, done = experiment_taps(model, options, ids)
    if source_ids is None:
        return Prepared(taps, done)
    from llminspect.commands import _forward_patch as patching
    from llminspect.commands._patch import into_places, other_text, patch_taps, told
    from llminspect.core.intervention import Place

    other = other_text(model, ids, source_ids)
    if patch.into:
        made, put = into_places(model, ids, other, patch, taps)
        return Prepared([*made, *taps], [*put, *done])
    chosen = _answers(model, ids, other, position, answers, taps)
    find = patching.first_order if first_order else patching.sweep
    swept = find(model, ids, other, position, patch.sweep, chosen, taps)
    places = [Place(patching.deepest(swept) if patch.sweep == "stream" else 0, "stream")]
    made = patch_taps(places, swept.differing, other, taps)
    return Prepared([*made, *taps], [*told(patch, places, swept.differing), *done], swept)


def _answers(
    model: Model,
    ids: Sequence[int],
    other: Other,
    position: int,
    given: tuple[str | None, str | None],
    taps: Sequence[Tap],
) -> tuple[int, int]:
    """The other text's answer and this text's, unless --target and --versus say which."""
    import numpy as np

    from llminspect.core.tap import Chain

    def best(reader: Model, own: Sequence[int]) -> int:
        stream_TD = reader.run(own, Chain(taps)).stream_TD
        return int(np.argmax(reader.logits(stream_TD[position : position + 1])[0]))

    target = best(other.model, other.ids) if given[0] is None else one_token(model, given[0], "--target")
    versus = best(model, ids) if given[1] is None else one_token(model, given[1], "--versus")
    return target, versus


def change(
    model: Model, before_V: Array, after_V: Array, count: int, experiments: list[Experiment]
) -> tuple[Baseline, Change]:
    """Compare two rows of logits."""
    import numpy as np

    from llminspect.core.sampling import top_ids
    from llminspect.core.unembed import log_softmax

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
    return Baseline(candidates(model, before_V, count)), Change(
        experiments,
        kl=divergence(log_before, log_after),
        largest_logit_change=float(np.max(np.abs(after_V.astype(np.float64) - before_V))),
        tokens=shifts,
    )


def divergence(log_before_V: Array, log_after_V: Array) -> float:
    """KL(before ‖ after) = Σ p (ln p − ln q), in bits; never below 0 by rounding."""
    import numpy as np

    own = np.exp(log_before_V)
    return max(0.0, float(np.sum(np.where(own > 0, own * (log_before_V - log_after_V), 0.0)) / np.log(2)))
