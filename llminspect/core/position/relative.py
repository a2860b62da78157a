"""Relative positions: a learned number for each distance of two tokens is added to their scores.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llminspect.core.array import namespace

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.core.cache import Span


def buckets_of(xp: Any, queries: int, span: Span, buckets: int, farthest: int, both_ways: bool) -> Array:
    """Which of the learned numbers belongs to each query and key, [T, S].

    The first half of the buckets are for one distance each, the others for ranges that widen up to `farthest`; all
    that is farther shares the last. With `both_ways` half of them all are for keys that come after the query.
    """
    distance_TS = xp.arange(span.keys)[None, :] - (span.start + xp.arange(queries))[:, None]
    if both_ways:
        buckets //= 2
        first_TS = xp.where(distance_TS > 0, buckets, 0)
        distance_TS = xp.abs(distance_TS)
    else:
        first_TS = 0
        distance_TS = xp.maximum(-distance_TS, xp.zeros_like(distance_TS))
    exact = buckets // 2
    ratio_TS = xp.maximum(distance_TS, xp.ones_like(distance_TS)).astype("float32") / exact
    wide_TS = exact + (xp.log(ratio_TS) / math.log(farthest / exact) * (buckets - exact)).astype(distance_TS.dtype)
    wide_TS = xp.minimum(wide_TS, xp.full_like(wide_TS, buckets - 1))
    found: Array = first_TS + xp.where(distance_TS < exact, distance_TS, wide_TS)
    return found


def bias_of(bias_BH: Array, buckets_TS: Array) -> Array:
    """The learned number of each bucket for each head, [B, H] by [T, S] -> [H, T, S]."""
    xp = namespace(bias_BH)
    *_, queries, keys = buckets_TS.shape
    bias_HTS: Array = xp.take(bias_BH, buckets_TS.reshape(-1), axis=0).T.reshape(-1, queries, keys)
    return bias_HTS
