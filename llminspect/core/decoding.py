"""One token after another: choose, append, ask the model again with the cache.

Beam search keeps the few most probable continuations, not only the single next best token. Several tokens a pass: guess
how the text goes on from where it stood like this before, and let one pass check it. A pass reads every weight whether
it has one token or a few, and a token whose guess was right needs no pass of its own. What is chosen at each step, and
from which logits, is as without guessing. Saxena 2023, "Prompt lookup decoding"; the check is that of Leviathan et al.
2022, "Fast inference from transformers via speculative decoding".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np

from llminspect.core.array import Array
from llminspect.core.cache import Cache
from llminspect.core.dataclass import dataclass
from llminspect.core.rules import Extent
from llminspect.core.sampling import Draws, Sampling, draw, filtered, top_ids


class NextLogits(Protocol):
    def __call__(self, ids: Sequence[int], cache: Any, /) -> tuple[Array, Any]:
        """The logits [V] after the last of `ids`, which follow those of the cache; and the cache with them.

        The cache is whatever was given back before, None at first."""


@dataclass(frozen=True)
class Choice:
    """One step: what the model said, what the filters left of it, and what was taken."""

    id: int
    stages: list[tuple[str, Array]]
    """The probabilities [V] after each filter, from the model's own ("model") to those drawn from."""
    forced: bool = False

    @property
    def model_V(self) -> Array:
        """The model's own probabilities."""
        return self.stages[0][1]


def decode(
    next_logits: NextLogits,
    prompt_ids: Sequence[int],
    sampling: Sampling,
    draws: Draws | None,
    *,
    context: int,
    forced: Sequence[int] = (),
    end: int | None = None,
) -> Iterator[Choice]:
    """Choose token after token until the caller stops or the context is full.

    Without `draws`, or with temperature 0, the most probable token is taken (the first of equals). `forced` are the ids
    that the continuation has to begin with. `end` is where the model's rules take it to end, if not at `context`.
    """
    ids, extent = list(prompt_ids), Extent(len(prompt_ids), context if end is None else end)
    new, cache = ids, None
    while len(ids) < context:
        logits_V, cache = next_logits(new, cache)
        stages = filtered(logits_V, sampling, ids, extent)
        done = len(ids) - len(prompt_ids)
        if done < len(forced):
            chosen = forced[done]
        elif draws is None or sampling.greedy:
            chosen = int(np.argmax(stages[-1][1]))
        else:
            chosen = draw(stages[-1][1], draws.next())
        yield Choice(chosen, stages, done < len(forced))
        new = [chosen]
        ids.append(chosen)


EarlyStopping = Literal["never"] | bool


class Continue(Protocol):
    def __call__(self, parents: Sequence[int], ids: Sequence[int]) -> Array:
        """Log-probabilities [B, V] after each beam: beam i is what beam `parents[i]` of the last call was, followed by
        the token `ids[i]`. The first call has no parents and no ids and gives [1, V] after the prompt."""


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
    next_logprobs: Continue,
    beams: int,
    max_tokens: int,
    eos_ids: Collection[int],
    length_penalty: float = 1.0,
    early_stopping: EarlyStopping = False,
) -> list[Hypothesis]:
    """The `beams` best continuations found, best first.

    As in transformers: of all tokens after all beams the best (1 + number of ends, at least 2)·beams are looked at;
    those that end go to the finished ones, the best `beams` of the others go on. The search ends after `max_tokens`, or
    when no beam can overtake the finished ones any more: at the length that it has, with `early_stopping` "never" at
    any length up to `max_tokens`; with True as soon as `beams` are finished.
    """
    looked_at = max(2, 1 + len(eos_ids)) * beams
    finished: list[Hypothesis] = []
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    log_probs_BV = next_logprobs([], [])
    for length in range(1, max_tokens + 1):
        vocabulary = log_probs_BV.shape[-1]
        totals = np.asarray([logprob for _, logprob in live])[:, None] + log_probs_BV.astype(np.float64)
        parents: list[int] = []
        following: list[tuple[tuple[int, ...], float]] = []
        for rank, flat in enumerate(top_ids(totals.ravel(), looked_at)):
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
        longest = max_tokens if early_stopping == "never" and length_penalty > 0 else length
        best_possible = max((logprob / longest**length_penalty for _, logprob in live), default=-np.inf)
        settled = early_stopping is True or (bool(finished) and finished[-1].score >= best_possible)
        if len(finished) == beams and settled and length < max_tokens:
            return finished
        if not live or length == max_tokens:
            break
        log_probs_BV = next_logprobs(parents, [ids[-1] for ids, _ in live])
    unfinished = [
        Hypothesis(ids, logprob, logprob / max(1, len(ids)) ** length_penalty, False) for ids, logprob in live
    ]
    return _best([*finished, *unfinished], beams)


def _best(hypotheses: list[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:count]


LONGEST, SHORTEST = 3, 2
"""Tokens in a row that have to have stood before: one alone says little about what follows."""


class LastLogits(Protocol):
    def __call__(self, ids: Sequence[int], cache: Cache | None, wanted: int, /) -> tuple[Array, Cache]:
        """The logits [wanted, V] after each of the last `wanted` of `ids`, and the cache with all of them."""


@dataclass(frozen=True)
class Guessed:
    """A text, and after it tokens that went through the model already although nobody chose them yet."""

    ids: list[int]
    guess: list[int]
    logits_NV: Array
    """After each token of the guess."""
    cache: Cache
    """Of the text and the guess."""


class LookAhead:
    """The `next_logits` of `decoding.decode` that guesses up to `most` tokens; `passes` counts the passes."""

    def __init__(self, last_logits: LastLogits, most: int, context: int) -> None:
        self.passes = 0
        self._ask_rows, self._most, self._context = last_logits, most, context

    def __call__(self, new: Sequence[int], before: Guessed | None) -> tuple[Array, Guessed]:
        if before is not None and before.guess[:1] == list(new):
            rest = replace(before, ids=[*before.ids, *new], guess=before.guess[1:], logits_NV=before.logits_NV[1:])
            return before.logits_NV[0], rest
        ids = [*(before.ids if before else ()), *new]
        guess = continuation(ids, min(self._most, self._context - len(ids)))
        cache = before.cache.cut(len(before.ids)) if before else None
        logits_NV, cache = self._ask_rows([*new, *guess], cache, 1 + len(guess))
        self.passes += 1
        return logits_NV[0], Guessed(ids, guess, logits_NV[1:], cache)


def continuation(ids: Sequence[int], most: int) -> list[int]:
    """Up to `most` tokens that followed when the text last ended as it ends now; none where it never did."""
    text = list(ids)
    for length in range(LONGEST, SHORTEST - 1, -1):
        ending = text[-length:]
        for start in range(len(text) - length - 1, -1, -1):
            if text[start : start + length] == ending:
                return text[start + length : start + length + max(0, most)]
    return []
