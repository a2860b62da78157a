"""Choosing the next token: logits through penalties and filters to probabilities, and a draw from them.

The filters act in the order of transformers' `generate`: the source's penalty, repetition penalty, no repeated n-grams,
none of the source, the model's rules, temperature, top-k, top-p, min-p, typical; or in that of llama.cpp, whose
temperature comes last (`ORDERS`). Each sees the logits that the one before it left; a token that is cut away has the
logit −∞ from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.attention import softmax
from llminspect.core.dataclass import dataclass
from llminspect.core.rules import NO_RULES, Extent, Rules, forbid, repeats, rule_steps
from llminspect.core.unembed import log_softmax
from llminspect.errors import UserError

ORDERS = {
    "reference": ("temperature", "top-k", "top-p", "min-p", "typical"),
    "llama.cpp": ("top-k", "typical", "top-p", "min-p", "temperature"),
}
"""The filters in the order in which transformers, and llama.cpp, apply them."""

NOWHERE = Extent()


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen. The defaults change nothing; temperature 0 means the most probable token, always."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    sampler_order: Literal["reference", "llama.cpp"] = "reference"
    rules: Rules = NO_RULES
    of_beams: bool = False
    """Whether log p is changed in extent of the logits, as in beam search: to a penalty they are not the same."""

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


def penalize_repetition(logits_V: Array, ids: Sequence[int], penalty: float) -> Array:
    """Logits of the tokens in `ids` divided by `penalty` where positive, multiplied where negative.

    Keskar et al. 2019, "CTRL", section 4.1, as transformers does it.
    """
    result_V = logits_V.copy()
    seen = np.unique(np.asarray(ids, dtype=np.int64))
    values = result_V[seen]
    result_V[seen] = np.where(values < 0, values * penalty, values / penalty)
    return result_V


def keep_top_k(logits_V: Array, k: int) -> Array:
    """Only the k largest logits (Fan et al. 2018, section 5.2); those that equal the k-th stay as well."""
    k = min(k, logits_V.size)
    least = np.partition(logits_V, -k)[-k]
    return np.where(logits_V < least, -np.inf, logits_V)


def keep_top_p(logits_V: Array, p: float) -> Array:
    """The smallest set of most probable tokens whose probabilities reach p (Holtzman et al. 2020, section 3.1).

    Where not all of several equal tokens are needed for it, those with the higher ids stay."""
    order = np.argsort(logits_V, kind="stable")
    cumulative = np.cumsum(softmax(logits_V[order]))
    cut = cumulative <= 1 - p
    cut[-1] = False
    result_V = logits_V.copy()
    result_V[order[cut]] = -np.inf
    return result_V


def keep_min_p(logits_V: Array, share: float) -> Array:
    """Tokens at least `share` times as probable as the most probable one (Nguyen et al. 2024, "Min-p sampling")."""
    probabilities_V = softmax(logits_V)
    kept_V = probabilities_V >= share * probabilities_V.max()
    kept_V[np.argmax(logits_V)] = True
    return np.where(kept_V, logits_V, -np.inf)


def keep_typical(logits_V: Array, mass: float) -> Array:
    """Tokens whose surprisal is nearest to the entropy, until their mass is reached (Meister et al. 2023)."""
    log_probabilities_V = log_softmax(logits_V)
    finite_V = np.isfinite(log_probabilities_V)
    probabilities_V = np.exp(log_probabilities_V)
    finite_log_V = np.where(finite_V, log_probabilities_V, 0)
    distance_V = np.where(finite_V, np.abs(-finite_log_V + np.sum(finite_log_V * probabilities_V)), np.inf)
    order = np.argsort(distance_V, kind="stable")
    reached = int((np.cumsum(probabilities_V[order]) < mass).sum())
    furthest = distance_V[order[min(reached, logits_V.size - 1)]]
    cut_V = distance_V > furthest
    cut_V[order[0]] = False
    return np.where(cut_V, -np.inf, logits_V)


def filter_steps(
    sampling: Sampling, ids: Sequence[int], extent: Extent = NOWHERE
) -> list[tuple[str, Callable[[Array], Array]]]:
    """What is switched on, named, in the order in which it acts. `ids` are the tokens so far."""
    of, steps = sampling, list[tuple[str, "Callable[[Array], Array]"]]()
    rules = of.rules
    if rules.source_penalty != 1:
        share = 1 / rules.source_penalty
        steps.append(("source-penalty", lambda logits_V: penalize_repetition(logits_V, rules.source, share)))
    if of.repetition_penalty != 1:
        seen = ids if rules.penalty_window is None else ids[-rules.penalty_window :]
        steps.append(("penalty", lambda logits_V: penalize_repetition(logits_V, seen, of.repetition_penalty)))
    if of.no_repeat_ngram:
        steps.append(("no-repeat", lambda logits_V: forbid(logits_V, repeats(ids, of.no_repeat_ngram))))
    if rules.source_repeats:
        taken = repeats(ids, rules.source_repeats, rules.source)
        steps.append(("no-source-repeat", lambda logits_V: forbid(logits_V, taken)))
    steps += rule_steps(rules, ids, extent)
    filters: dict[str, tuple[Callable[[Array, Any], Array], float | None]] = {
        "temperature": (np.divide, None if of.temperature == 1 else of.temperature),
        "top-k": (keep_top_k, of.top_k),
        "top-p": (keep_top_p, None if of.top_p == 1 else of.top_p),
        "min-p": (keep_min_p, of.min_p),
        "typical": (keep_typical, None if of.typical == 1 else of.typical),
    }
    for name in () if of.greedy else ORDERS[of.sampler_order]:
        keep, value = filters[name]
        if value is not None:
            steps.append((name, partial(_with, keep, value)))
    return steps


def _with(keep: Callable[[Array, Any], Array], value: float, logits_V: Array) -> Array:
    return keep(logits_V, value)


def filtered(
    logits_V: Array, sampling: Sampling, ids: Sequence[int], extent: Extent = NOWHERE
) -> list[tuple[str, Array]]:
    """The probabilities [V] after each filter, from the model's own to the final ones, each with its name.

    In float64: what is drawn from must add up to 1 as exactly as can be. Raises UserError where nothing is left.
    """
    current_V = logits_V.astype(np.float64)
    stages = [("model", softmax(current_V))]
    if sampling.of_beams:
        current_V = log_softmax(current_V)
    for name, change in filter_steps(sampling, ids, extent):
        current_V = change(current_V)
        check_left(current_V, len(ids))
        stages.append((name, softmax(current_V)))
    return stages


def beam_scores(logits_V: Array, sampling: Sampling, ids: Sequence[int], extent: Extent) -> Array:
    """What each next token [V] adds to the score of a beam: log p, changed as transformers does it for beams."""
    scores_V = log_softmax(logits_V.astype(np.float64))
    for _, change in filter_steps(sampling, ids, extent):
        scores_V = change(scores_V)
    return log_softmax(scores_V) if sampling.rules.renormalize and np.isfinite(scores_V.max()) else scores_V


def check_left(logits: Array, length: int) -> None:
    """Raise UserError where every token was taken away; `length` is that of the text so far."""
    if not np.isfinite(logits.max()):
        raise UserError(
            f"after {length} tokens there is none left that may come next",
            "fewer --max-tokens, or nothing that forbids tokens (--no-repeat-ngram, --model-settings)",
        )


class Draws:
    """Random numbers in [0, 1) that are the same for a seed on every machine and with every numpy.

    numpy promises a fixed stream for its bit generators, not for what is built on them; so the 53 upper bits of each
    64-bit number are the fraction. `stream` numbers the samples of one seed.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, stream]))

    def next(self) -> float:
        return float(int(self._bits.random_raw()) >> 11) * 2.0**-53


def draw(probabilities_V: Array, point: float) -> int:
    """The id at `point` in [0, 1) when the probabilities are laid end to end in the order of the ids."""
    ends_V = np.cumsum(probabilities_V)
    found = int(np.searchsorted(ends_V, point * ends_V[-1], side="right"))
    # Rounding may put the point at the very end: the last token that can be drawn.
    return found if found < ends_V.size else int(np.flatnonzero(probabilities_V)[-1])


def entropy(probabilities_V: Array) -> float:
    """−Σ p log₂ p, in bits."""
    possible_N = probabilities_V[probabilities_V > 0].astype(np.float64)
    return float(-np.sum(possible_N * np.log2(possible_N)))


BLOCK = 512
"""Values of which the largest is looked at first."""


def top_ids(values_V: Array, count: int) -> list[int]:
    """The ids of the `count` largest values, largest first; equal ones in the order of the ids."""
    count = min(count, values_V.shape[-1])
    if count <= 0:
        return []
    blocks = values_V.size // BLOCK
    # As many values as blocks reach what `count` blocks reach: the others need no sorting.
    best = values_V if blocks < count else values_V[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
    candidates = np.flatnonzero(values_V >= np.partition(best, -count)[-count])
    order = np.argsort(-values_V[candidates], kind="stable")
    return [int(token_id) for token_id in candidates[order][:count]]
