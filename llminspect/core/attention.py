"""Self-attention: each token looks at the tokens it may see and takes a weighted sum of what they offer.

Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1: softmax(Q Kᵀ / √E) V. Grouped heads (several
query heads share one key/value head): Ainslie et al. 2023, "GQA".
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from llminspect.core.array import Array, namespace, overwrite
from llminspect.core.mask import Mask
from llminspect.core.tap import Tap
from llminspect.core.threads import in_threads

TILE = 128
"""Queries whose scores are computed at once."""
TILE_SCORES = 1 << 18
"""About so many scores are computed at once, in 1 MB."""


def split_heads(x_TW: Array, heads: int) -> Array:
    """[..., T, H·E] -> [..., H, T, E]."""
    *front, tokens, width = x_TW.shape
    return x_TW.reshape(*front, tokens, heads, width // heads).swapaxes(-2, -3)


def merge_heads(x_HTE: Array) -> Array:
    """[..., H, T, E] -> [..., T, H·E]."""
    *front, heads, tokens, width = x_HTE.shape
    return x_HTE.swapaxes(-2, -3).reshape(*front, tokens, heads * width)


def softmax(scores: Array, sink_H: Array | None = None) -> Array:
    """e^x / Σ e^x over the last axis. A row that is −∞ throughout (nothing may be seen) gives zeros.

    `sink_H`: one more alternative of each head, which takes weight and gives nothing (gpt-oss), so that the rows
    [..., H, T, S] sum to less than one.
    """
    sink_H11 = None if sink_H is None else sink_H[:, None, None]
    top = highest(scores, sink_H11)
    with np.errstate(over="ignore"):  # A difference beyond what float32 holds is −∞: its exponential is the right 0.
        exponentials = overwrite("exp", scores - top)
    return overwrite("divide", exponentials, summed(exponentials, None if sink_H11 is None else sink_H11 - top))


def highest(scores: Array, other: Array | None = None) -> Array:
    """What is taken from each row [..., 1], so that no exponential overflows: its highest number, or `other`."""
    xp = namespace(scores)
    top = xp.max(scores, axis=-1, keepdims=True)
    if other is not None:
        top = xp.maximum(top, other)
    return xp.where(xp.isfinite(top), top, xp.zeros_like(top))


def summed(exponentials: Array, other: Array | None = None) -> Array:
    """What each row is divided by [..., 1]: its sum and e^`other`; 1 where that is nothing."""
    xp = namespace(exponentials)
    total = xp.sum(exponentials, axis=-1, keepdims=True)
    if other is not None:
        total = total + xp.exp(other)
    return xp.where(total == 0, xp.ones_like(total), total)


def soft_cap(scores: Array, cap: float) -> Array:
    """cap · tanh(x / cap): keeps x between −cap and cap (Gemma 2)."""
    return _cap_tanh(scores / cap, cap)


def _cap_tanh(shares: Array, cap: float) -> Array:
    return overwrite("multiply", overwrite("tanh", shares), cap)


def score_parts(query_TE: Array, key_SE: Array, plain: int) -> tuple[Array, Array]:
    """The two parts of a head's scores, each [..., S], in latent attention (DeepSeek-AI 2024, "DeepSeek-V2", eq. 17 and
    18): query · key over the first `plain` numbers, which know no position, and over those that are turned by it."""
    return query_TE[..., :plain] @ key_SE[:, :plain].T, query_TE[..., plain:] @ key_SE[:, plain:].T


def grouped_product(query_HTE: Array, other_KES: Array) -> Array:
    """[..., H, T, E] × [..., K, E, S] -> [..., H, T, S], query head h meeting key/value head h // (H / K).

    The heads of one group are laid one below the other, so that each key/value head is one matrix product.
    """
    *front, heads, tokens, width = query_HTE.shape
    groups, _, seen = other_KES.shape[-3:]
    rows = query_HTE.reshape(*front, groups, heads // groups * tokens, width)
    return (rows @ other_KES).reshape(*front, heads, tokens, seen)


def attend(
    query_HTE: Array,
    key_KSE: Array,
    value_KSE: Array,
    *,
    scale: float,
    mask_TS: Mask | None,
    tap: Tap,
    name: str,
    bias_HTS: Array | None = None,
    cap: float | None = None,
    sink_H: Array | None = None,
) -> Array:
    """The weighted sum of the values for each query, [..., H, T, E].

    scores = q · k; scaled = scores · scale (+ bias); capped; masked; weights = softmax; mixed = weights · values. Taps,
    all [..., H, T, S] but the last: `name`.scores, .scaled, .capped, .masked, .weights, .mixed.
    """
    watched = any(tap.wants(f"{name}.{step}") for step in ("scores", "scaled", "capped", "masked"))
    plain = all(isinstance(each, np.ndarray | None) for each in (query_HTE, key_KSE, value_KSE, bias_HTS))
    if not watched and query_HTE.shape[-2] > TILE and plain:
        kept_HTS = None
        if tap.wants(f"{name}.weights"):
            kept_HTS = np.empty((*query_HTE.shape[:-1], key_KSE.shape[-2]), query_HTE.dtype)
        mixed_HTE = _mixed_in_tiles(query_HTE, key_KSE, value_KSE, scale, bias_HTS, cap, sink_H, mask_TS, kept_HTS)
        if kept_HTS is not None:
            weights_HTS = tap(f"{name}.weights", kept_HTS)
            mixed_HTE = mixed_HTE if weights_HTS is kept_HTS else grouped_product(weights_HTS, value_KSE)
        return tap(f"{name}.mixed", mixed_HTE)
    mask_numbers_TS = None if mask_TS is None else mask_TS.whole_TS
    given = query_HTE, key_KSE.swapaxes(-1, -2), scale, bias_HTS, cap, mask_numbers_TS
    masked_HTS = _masked_scores_step_by_step(*given, tap, name) if watched else _masked_scores(*given)
    weights_HTS = tap(f"{name}.weights", softmax(masked_HTS, sink_H))
    return tap(f"{name}.mixed", grouped_product(weights_HTS, value_KSE))


def _mixed_in_tiles(
    query_HTE: Array,
    key_KSE: Array,
    value_KSE: Array,
    scale: float,
    bias_HTS: Array | None,
    cap: float | None,
    sink_H: Array | None,
    mask_TS: Mask | None,
    kept_HTS: Array | None,
) -> Array:
    """The same sums for some queries and heads at a time, in memory that stays near the processor, and no score with a
    key that is hidden from all of these queries. The weights are written into `kept_HTS` (zeros), if that is given."""
    *front, heads, queries, _ = query_HTE.shape
    groups, keys = key_KSE.shape[-3:-1]
    key_KES, shared = key_KSE.swapaxes(-1, -2), heads // groups
    mixed_HTE = np.empty((*front, heads, queries, value_KSE.shape[-1]), query_HTE.dtype)

    def mix(tile: tuple[slice, slice]) -> None:
        k, t = tile
        h = slice(k.start * shared, k.stop * shared)
        low, high, hiding = (0, keys, keys) if mask_TS is None else mask_TS.reach(t.start, t.stop)
        bias_hts = None if bias_HTS is None else bias_HTS[..., h, t, low:high]
        scores_hts = _masked_scores(query_HTE[..., h, t, :], key_KES[..., k, :, low:high], scale, bias_hts, cap)
        if mask_TS is not None:
            scores_hts[..., hiding - low :] += mask_TS.numbers(t.start, t.stop, hiding, high)
        sink_h11 = None if sink_H is None else sink_H[h, None, None]
        top_ht1 = highest(scores_hts, sink_h11)
        exponentials_hts = overwrite("exp", overwrite("subtract", scores_hts, top_ht1))
        total_ht1 = summed(exponentials_hts, None if sink_h11 is None else sink_h11 - top_ht1)
        if kept_HTS is not None:
            kept_HTS[..., h, t, :low] = 0
            np.divide(exponentials_hts, total_ht1, out=kept_HTS[..., h, t, low:high])
            kept_HTS[..., h, t, high:] = 0
        # Dividing the sums is dividing the weights, and there are fewer of them.
        summed_htE = grouped_product(exponentials_hts, value_KSE[..., k, low:high, :])
        np.divide(summed_htE, total_ht1, out=mixed_HTE[..., h, t, :])

    in_threads(mix, _tiles(groups, queries, shared * keys * math.prod(front)))
    return mixed_HTE


def _tiles(groups: int, queries: int, scores: int) -> Iterator[tuple[slice, slice]]:
    """Which key/value heads and which queries are worked on together; `scores`: of one query with one such head.

    The last queries, who see most, first: then no thread has long to wait for another at the end.
    """
    together = max(1, TILE_SCORES // (TILE * scores))
    for start in reversed(range(0, queries, TILE)):
        for first in range(0, groups, together):
            yield slice(first, min(first + together, groups)), slice(start, min(start + TILE, queries))


def _masked_scores_step_by_step(
    query_HTE: Array,
    key_KES: Array,
    scale: float,
    bias_HTS: Array | None,
    cap: float | None,
    mask_TS: Array | None,
    tap: Tap,
    name: str,
) -> Array:
    """Each step an array of its own, for whoever watches."""
    scores_HTS = tap(f"{name}.scores", grouped_product(query_HTE, key_KES))
    scaled_HTS = tap(f"{name}.scaled", scores_HTS * scale if bias_HTS is None else scores_HTS * scale + bias_HTS)
    capped_HTS = scaled_HTS if cap is None else tap(f"{name}.capped", soft_cap(scaled_HTS, cap))
    return tap(f"{name}.masked", capped_HTS if mask_TS is None else capped_HTS + mask_TS)


def _masked_scores(
    query_HTE: Array,
    key_KES: Array,
    scale: float,
    bias_HTS: Array | None,
    cap: float | None,
    mask_TS: Array | None = None,
) -> Array:
    """The same numbers in one array of T × S. Scaling the query is the same product and touches T × E numbers only."""
    scores_HTS = grouped_product(query_HTE * scale, key_KES)
    if bias_HTS is not None:
        scores_HTS = overwrite("add", scores_HTS, bias_HTS)
    if cap is not None:
        scores_HTS = _cap_tanh(overwrite("divide", scores_HTS, cap), cap)
    return scores_HTS if mask_TS is None else overwrite("add", scores_HTS, mask_TS)
