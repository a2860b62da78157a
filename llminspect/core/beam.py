"""Beam search: keep the few most probable continuations, not only the single next best token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from llminspect.core.sampling import top_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from llminspect.core.array import Array


class Continue(Protocol):
    def __call__(self, parents: Sequence[int], ids: Sequence[int]) -> Array:
        """Log-probabilities [B, V] after each beam: beam i is what beam `parents[i]` of the last call was, followed by
        the token `ids[i]`. The first call has no parents and no ids and gives [1, V] after the prompt."""
        ...


@dataclass(frozen=True)
class Hypothesis:
    """A continuation."""

    ids: tuple[int, ...]
    logprob: float
    """Σ log p of its tokens."""
    score: float
    """logprob / length^penalty: what hypotheses are ranked by."""
    finished: bool


def beam_search(
    next_logprobs: Continue, beams: int, max_tokens: int, eos_ids: Collection[int], length_penalty: float = 1.0
) -> list[Hypothesis]:
    """The `beams` best continuations found, best first.

    As in transformers: of all tokens after all beams the best 2·beams are looked at; those that end go to the finished
    ones, the best `beams` of the others go on; the search ends when no beam can overtake the finished ones any more, or
    after `max_tokens`.
    """
    finished: list[Hypothesis] = []
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    log_probs_BV = next_logprobs([], [])
    for length in range(1, max_tokens + 1):
        vocabulary = log_probs_BV.shape[-1]
        totals = np.asarray([logprob for _, logprob in live])[:, None] + log_probs_BV.astype(np.float64)
        parents: list[int] = []
        following: list[tuple[tuple[int, ...], float]] = []
        for rank, flat in enumerate(top_ids(totals.ravel(), 2 * beams)):
            parent, token_id = divmod(flat, vocabulary)
            ids, logprob = (*live[parent][0], token_id), float(totals[parent, token_id])
            if not np.isfinite(logprob):
                continue
            if token_id in eos_ids:
                if rank < beams:
                    finished.append(Hypothesis(ids, logprob, logprob / length**length_penalty, True))
            elif len(following) < beams:
                parents.append(parent)
                following.append((ids, logprob))
        live = following
        finished = _best(finished, beams)
        best_possible = max((logprob / length**length_penalty for _, logprob in live), default=-np.inf)
        if not live or length == max_tokens or (len(finished) == beams and finished[-1].score >= best_possible):
            break
        log_probs_BV = next_logprobs(parents, [ids[-1] for ids, _ in live])
    unfinished = [
        Hypothesis(ids, logprob, logprob / max(1, len(ids)) ** length_penalty, False) for ids, logprob in live
    ]
    return _best([*finished, *unfinished], beams)


def _best(hypotheses: list[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:count]
