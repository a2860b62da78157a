"""What a head does on a text, measured on its attention weights [..., T, S] (rows sum to one, S = T).

Each measure gives one number a head, [...]; NaN where the text has no place to measure it. Token 0 is where a head that
looks for nothing rests (the attention sink: Xiao et al. 2023, "Efficient Streaming Language Models", section 3.1), so
the measures of other habits leave out the places where token 0 would count for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass


def entropy(weights_HTS: Array, ids_T: Array, causal: bool, window: int | None = None) -> Array:
    """How evenly the weights are spread: entropy divided by that of an even spread over what the query may see.

    0: all on one token; 1: the same on all. The mean over the queries that may see more than one token.
    """
    queries, keys = weights_HTS.shape[-2:]
    if keys < 2 or window == 1:
        return _mean(weights_HTS[..., 0, :0])
    shares = []
    # A few rows at a time: logarithms of the whole matrix would be another one.
    for start in range(1 if causal else 0, queries, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, queries)
        weights = weights_HTS[..., start:stop, : stop if causal else keys]
        logs = np.log(np.maximum(weights, np.finfo(weights.dtype).tiny))
        seen_T = np.minimum(np.arange(start + 1, stop + 1), window or keys) if causal else np.full(stop - start, keys)
        shares.append(-np.einsum("...ts,...ts->...t", weights, logs) / np.log(seen_T))
    return _mean(np.concatenate(shares, axis=-1))


def distance(weights_HTS: Array, ids_T: Array, causal: bool) -> Array:
    """How far it looks: the mean of Σ weight · |query − key| in tokens, over the queries from token 1 on."""
    place_T = np.arange(weights_HTS.shape[-1], dtype=weights_HTS.dtype)
    apart_TS = np.abs(place_T[:, None] - place_T)
    return _mean(np.einsum("...ts,ts->...t", weights_HTS[..., 1:, :], apart_TS[1:]))


Pairs: TypeAlias = "tuple[Array, Array]"
"""Queries and keys of the same length: the places of a matrix that count."""


@lru_cache(maxsize=4)
def _after_same(ids: tuple[int, ...], after: int) -> Pairs:
    """A key counts that stands `after` tokens after an earlier place of the query's own token, and before the query."""
    ids_T = np.array(ids)
    query, place = np.nonzero(np.tril(ids_T[:, None] == ids_T, -1 - after))
    key = place + after
    return query[key > 0], key[key > 0]


@dataclass(frozen=True)
class Measure:
    """A measure, what it is called, and its definition in a line."""

    definition: str
    compute: Callable[[Array, Array, bool], Array]


MEASURES: Mapping[str, Measure] = {
    "entropy": Measure("how evenly weights are spread: 0 all on one token, 1 the same on all", entropy),
    # For token 1, token 0 is also the one before.
    "sink": Measure("mean weight on token 0, from token 2 on", lambda weights_HTS, *_: _mean(weights_HTS[..., 2:, 0])),
    "previous": Measure(
        "mean weight on the token before, from token 2 on",
        lambda weights_HTS, *_: _mean(np.diagonal(weights_HTS, -1, -2, -1)[..., 1:]),
    ),
    "next": Measure(
        "mean weight on the next token (where the future is not hidden)",
        lambda weights_HTS, _, causal: _mean(np.diagonal(weights_HTS, 1, -2, -1)[..., : 0 if causal else None]),
    ),
    "self": Measure(
        "mean weight of a token on itself, from token 1 on",
        lambda weights_HTS, *_: _mean(np.diagonal(weights_HTS, 0, -2, -1)[..., 1:]),
    ),
    "same": Measure(
        "mean weight on earlier places of the same token, where it has one",  # Token 0 aside.
        lambda weights_HTS, ids_T, _: _mean_on(weights_HTS, _after_same(tuple(ids_T.tolist()), 0)),
    ),
    # Olsson et al. 2022, "In-context Learning and Induction Heads": prefix matching.
    "induction": Measure(
        "mean weight on what came after an earlier place of the same token",
        lambda weights_HTS, ids_T, _: _mean_on(weights_HTS, _after_same(tuple(ids_T.tolist()), 1)),
    ),
    "distance": Measure("mean distance in tokens to what a token looks at, from token 1 on", distance),
}

HABITS = ("induction", "same", "previous", "next", "self", "sink")
"""What a head may be named by; of equal ones the first, since the rarer says more."""
HABIT_FROM = 0.5
"""So much of its weight a habit takes at least."""
DIFFUSE_FROM = 0.75

ROWS_AT_ONCE = 256


def measure_all(weights_HTS: Array, ids_T: Array, causal: bool, window: int | None = None) -> dict[str, Array]:
    """Every measure, [...] each. `window`: a causal query sees itself and the window − 1 tokens before it."""
    rest = {name: measure.compute for name, measure in MEASURES.items() if name != "entropy"}
    measured = {"entropy": entropy(weights_HTS, ids_T, causal, window)}
    return measured | {name: compute(weights_HTS, ids_T, causal) for name, compute in rest.items()}


def habit(measured: Mapping[str, float]) -> str:
    """What to call a head: the habit that takes at least half of its weight, else "diffuse", else "mixed".

    "diffuse" is an entropy of at least 0.75 of the largest possible.
    """
    return habits(measured)[0]


def habits(measured: Mapping[str, float]) -> list[str]:
    """All that takes at least half of a head's weight, what takes most first: each is measured over other queries."""
    taken = [name for name in HABITS if measured[name] >= HABIT_FROM]
    rest = "diffuse" if measured["entropy"] >= DIFFUSE_FROM else "mixed"
    return sorted(taken, key=lambda name: -measured[name]) or [rest]


# -- From heads to the whole model -------------------------------------------------------------------------------------


def roll_out(above_TS: Array | None, weights_HTS: Array) -> Array:
    """One layer more of attention rollout, [T, S]: how much of each input token is in each position so far.

    A = ½ mean over heads + ½ identity (the residual connection), times the rollout of the layers below (Abnar and
    Zuidema 2020, "Quantifying Attention Flow in Transformers", section 3). `above_TS` is None before the first layer.
    """
    mean_TS = weights_HTS.mean(axis=-3)
    mixed_TS: Array = (mean_TS + np.eye(mean_TS.shape[-1], dtype=mean_TS.dtype)) / 2
    return mixed_TS if above_TS is None else mixed_TS @ above_TS


def excess(
    weights_TS: Array, query: int, keys: list[int], causal: bool, window: int | None = None
) -> tuple[float, float | None]:
    """The weight of `query` on `keys` together, and the mean weight of the other tokens on them.

    The others are the tokens that may see all of the keys, without the query and the keys themselves; None where there
    are none.
    """
    on_keys_T = weights_TS[:, keys].sum(axis=1)
    first, last = (max(keys) + 1, min(keys) + (window or len(on_keys_T))) if causal else (0, len(on_keys_T))
    others = [index for index in range(first, min(last, len(on_keys_T))) if index != query and index not in keys]
    return float(on_keys_T[query]), float(on_keys_T[others].mean()) if others else None


def usual(weights_HTS: Array, queries: Sequence[int], causal: bool, window: int | None = None) -> Array:
    """What of the weight of each of `queries` on each key would be there anyway, [H, Q, S]: the larger of two means.

    One is that of the other tokens which may see the key, on it (as in `excess`): an attention sink gets much of all.
    The other is that of the other tokens on the key which stands as far from them, token 0 aside: a head that looks at
    the token before does so from everywhere. 0 where there are no others, NaN for a key that the query does not see.
    """
    tokens = weights_HTS.shape[-1]
    apart_QS, by_key_QS, by_distance_QS = _among_others(tuple(queries), tokens, causal, window)
    row_HQS = weights_HTS[:, queries].astype(np.float64)
    on_key_HS = weights_HTS.sum(axis=-2, dtype=np.float64) - np.diagonal(weights_HTS, 0, -2, -1)
    on_key_HQS = on_key_HS[:, None] - np.where(apart_QS == 0, 0, row_HQS)
    row_HQS[..., 0] = 0  # Token 0 aside, in the sums as well.
    as_far_HQS = _diagonal_sums(weights_HTS)[:, apart_QS + tokens - 1] - row_HQS
    usual_HQS: Array = np.maximum(np.maximum(on_key_HQS * by_key_QS, as_far_HQS * by_distance_QS), 0)
    return usual_HQS


@lru_cache(maxsize=4)
def _among_others(queries: tuple[int, ...], tokens: int, causal: bool, window: int | None) -> tuple[Array, ...]:
    """How far each key is from each query [Q, S], and what a sum over the other tokens is multiplied with for `usual`.

    First for those that may see the key, then for those that see a key as far away: 1 divided by how many there are, 0
    where there are none. NaN for a key that the query does not see.
    """
    key_S, reach = np.arange(tokens), window or tokens
    apart_QS = np.array(queries)[:, None] - key_S
    sees_QS = (apart_QS >= 0) & (apart_QS < reach) if causal else np.ones(apart_QS.shape, bool)
    # What may see each key, less the query and the key itself.
    seeing_S = (np.minimum(tokens, key_S + reach) - key_S if causal else np.full(tokens, tokens)) - 1
    seeing_QS = seeing_S - (sees_QS & (apart_QS != 0))
    places_QS = np.where(apart_QS == 0, 0, tokens - np.abs(apart_QS) - 1 - ((apart_QS > 0) & (key_S > 0)))
    shares = [np.where(count_QS > 0, 1 / np.maximum(count_QS, 1), 0) for count_QS in (seeing_QS, places_QS)]
    return apart_QS, *(np.where(sees_QS, share_QS, np.nan) for share_QS in shares)


def _diagonal_sums(weights_HTS: Array) -> Array:
    """The sum of the weights on the keys from token 1 on that are equally far away, [H, T + S − 1]: at query − key +
    S − 1."""
    heads, queries, keys = weights_HTS.shape
    sums_HD = np.zeros((heads, queries + keys - 1))
    for start in range(0, queries, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, queries - start)
        # Rows that are longer by `rows` and then read as if by one less: each begins one column later than that above.
        skewed_HTD = np.zeros((heads, rows, keys + rows), weights_HTS.dtype)
        skewed_HTD[..., : keys - 1] = weights_HTS[:, start : start + rows, :0:-1]
        skewed_HTD = skewed_HTD.reshape(heads, -1)[:, :-rows].reshape(heads, rows, -1)
        sums_HD[:, start : start + keys + rows - 1] += skewed_HTD.sum(axis=1, dtype=np.float64)
    return sums_HD


def _mean_on(weights_HTS: Array, pairs: Pairs) -> Array:
    """The mean over the queries that have a key that counts of their weight on all of these."""
    query, key = pairs
    if not len(query):
        return _mean(weights_HTS[..., 0, :0])
    total_H: Array = weights_HTS[..., query, key].sum(axis=-1, dtype=np.float64)
    return total_H / len(np.unique(query))


def _mean(values_HT: Array) -> Array:
    """Of each row; NaN where it has nothing."""
    if not values_HT.shape[-1]:
        return np.full(values_HT.shape[:-1], np.nan)
    mean_H: Array = values_HT.mean(axis=-1, dtype=np.float64)
    return mean_H
