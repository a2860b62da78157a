"""Where a token stands: rotary, sinusoidal and relative position codes.

Rotary: each pair of numbers in a query or key is turned by an angle that grows with the position, at a speed of its
own; the product of a query and a key then depends on how far apart they stand (Su et al. 2021, "RoFormer", section
3.2.2). Sinusoidal: a vector of sines and cosines is added to the token's own (Vaswani et al. 2017, section 3.5).
Relative: a learned number for each distance is added to the scores (Raffel et al. 2020, section 2.1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llminspect.core.array import namespace
from llminspect.core.position.rotary import plain_speeds

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.core.cache import Span
    from llminspect.core.position.rotary import Rotary


def rotary_angles(
    like: Array, start: int, tokens: int, rotary: Rotary, divisors_P: Array | None = None
) -> tuple[Array, Array]:
    """cos and sin of position × speed for the positions from `start`, each [T, P] for P pairs.

    In the number type of `like`. `divisors_P` slows each pair, where a file states the slowing so.
    """
    xp = namespace(like)
    speeds_P = xp.asarray(rotary.speeds(start + tokens), dtype=like.dtype)
    if divisors_P is not None:
        speeds_P = speeds_P / divisors_P
    angles_TP = (start + xp.arange(tokens, dtype=like.dtype))[:, None] * speeds_P
    return xp.cos(angles_TP) * rotary.gain, xp.sin(angles_TP) * rotary.gain


def rotate_halves(x_HTE: Array, cos_TP: Array, sin_TP: Array) -> Array:
    """Turn the pairs (x_i, x_{i+P}): the layout of Hugging Face files. What lies beyond 2P of E is left as it is."""
    xp = namespace(x_HTE)
    pairs = cos_TP.shape[-1]
    first, second, rest = x_HTE[..., :pairs], x_HTE[..., pairs : 2 * pairs], x_HTE[..., 2 * pairs :]
    turned = [first * cos_TP - second * sin_TP, second * cos_TP + first * sin_TP]
    rotated: Array = xp.concat([*turned, rest] if rest.shape[-1] else turned, axis=-1)
    return rotated


def sinusoids(like: Array, start: int, tokens: int, width: int) -> Array:
    """sin(position · 10000^(−2i / D)), then the cosines, [T, D]: the sines fill the first half (Marian's order)."""
    xp = namespace(like)
    speeds_P = xp.asarray(plain_speeds(width, 10000.0), dtype=like.dtype)
    angles_TP = (start + xp.arange(tokens, dtype=like.dtype))[:, None] * speeds_P
    # An odd width has one sine more than cosines.
    waves: Array = xp.concat([xp.sin(angles_TP), xp.cos(angles_TP[:, : width // 2])], axis=-1)
    return waves


def relative_buckets(xp: Any, queries: int, span: Span, buckets: int, farthest: int, both_ways: bool) -> Array:
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


def relative_bias(bias_BH: Array, buckets_TS: Array) -> Array:
    """The learned number of each bucket for each head, [B, H] by [T, S] -> [H, T, S]."""
    xp = namespace(bias_BH)
    *_, queries, keys = buckets_TS.shape
    bias_HTS: Array = xp.take(bias_BH, buckets_TS.reshape(-1), axis=0).T.reshape(-1, queries, keys)
    return bias_HTS
