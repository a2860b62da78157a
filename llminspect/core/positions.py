"""Positions added to what tokens are, or to how they score: sinusoidal, relative, and contents with distances.

Vaswani et al. 2017, "Attention Is All You Need", section 3.5; Raffel et al. 2020, "Exploring the Limits of Transfer
Learning", section 2.1: a learned number for each distance of two tokens is added to their scores; He et al. 2021,
"DeBERTa", section 3.1, eq. 4.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from llminspect.core.array import Array, namespace
from llminspect.core.cache import Span
from llminspect.core.rotary import plain_speeds

Waves = Literal["marian", "fairseq"]


def sinusoids(like: Array, positions_T: Array, width: int, kind: Waves = "marian") -> Array:
    """sin(position · 10000^(−2i / D)), then the cosines, [..., T, D]: the sines fill the first half.

    Of an odd width Marian has one sine more than cosines. fairseq's slowest wave is of speed 1 / 10000 whatever the
    width, and the last number of an odd one is 0.
    """
    xp = namespace(like)
    if kind == "marian":
        speeds_P = xp.asarray(plain_speeds(width, 10000.0), dtype=like.dtype)
    else:
        half = width // 2
        speeds_P = xp.asarray([10000.0 ** (-wave / (half - 1)) for wave in range(half)], dtype=like.dtype)
    angles_TP = positions_T.astype(like.dtype)[..., None] * speeds_P
    rest_T = [xp.zeros_like(angles_TP[..., :1])] if kind == "fairseq" and width % 2 else []
    return xp.concat([xp.sin(angles_TP), xp.cos(angles_TP[..., : width // 2]), *rest_T], axis=-1)


def alibi_slopes(heads: int) -> list[float]:
    """How much each head's scores lose a token of distance: 2^(−8 h / H) for H a power of two; else those of the next
    smaller one, and every other one of the next larger (Press et al. 2022, "Train Short, Test Long", section 3)."""
    power = 1 << (heads.bit_length() - 1)

    def slopes(count: int) -> list[float]:
        return [2.0 ** (-8.0 * head / count) for head in range(1, count + 1)]

    return slopes(power) + slopes(2 * power)[0::2][: heads - power]


def alibi_bias(like: Array, heads: int, queries: int, span: Span, mirrored: bool) -> Array:
    """−slope · distance of each query and key, for each head, [H, T, S]: what is added to the scores.

    `mirrored`: of a key after the query as much as of one before it; else the distance goes on below nought there.
    """
    xp = namespace(like)
    distance_TS = xp.arange(span.keys)[None, :] - (span.start + xp.arange(queries))[:, None]
    if mirrored:
        distance_TS = -xp.abs(distance_TS)
    slopes_H = xp.asarray(alibi_slopes(heads), dtype=like.dtype)
    bias_HTS: Array = slopes_H[:, None, None] * distance_TS.astype(like.dtype)
    return bias_HTS


def rounded_alibi(like: Array, heads: int, queries: int, keys: int, scale: float) -> Array:
    """slope · place of the key, each and their product in bfloat16, times the `scale` of the scores, [H, T, S].

    Falcon's. Without the rounding that is ALiBi: what all the scores of a query have more of, a softmax does not see.
    """
    slopes_H, places_S = (in_bfloat16(numbers) for numbers in (np.array(alibi_slopes(heads)), np.arange(keys)))
    bias_HS = in_bfloat16(slopes_H[:, None] * places_S).astype(np.float64) * scale
    xp = namespace(like)
    return xp.broadcast_to(xp.asarray(bias_HS, dtype=like.dtype)[:, None], (heads, queries, keys))


def in_bfloat16(numbers: Array) -> Array:
    """The nearest numbers of 8 binary digits, as float32."""
    bits = numbers.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def relative_bias(bias_BH: Array, queries: int, span: Span, buckets: int, farthest: int, both_ways: bool) -> Array:
    """The learned number [B, H] that belongs to each query and key, for each head, [H, T, S].

    The first half of the buckets are for one distance each, the others for ranges that widen up to `farthest`; all
    that is farther shares the last. With `both_ways` half of them all are for keys that come after the query.
    """
    xp = namespace(bias_BH)
    distance_TS = xp.arange(span.keys)[None, :] - (span.start + xp.arange(queries))[:, None]
    first_TS: Array | int = 0
    if both_ways:
        buckets //= 2
        first_TS = xp.where(distance_TS > 0, buckets, 0)
        distance_TS = xp.abs(distance_TS)
    else:
        distance_TS = xp.maximum(-distance_TS, xp.zeros_like(distance_TS))
    exact = buckets // 2
    ratio_TS = xp.maximum(distance_TS, xp.ones_like(distance_TS)).astype("float32") / exact
    wide_TS = exact + (xp.log(ratio_TS) / math.log(farthest / exact) * (buckets - exact)).astype(distance_TS.dtype)
    wide_TS = xp.minimum(wide_TS, xp.full_like(wide_TS, buckets - 1))
    buckets_TS = first_TS + xp.where(distance_TS < exact, distance_TS, wide_TS)
    return xp.take(bias_BH, buckets_TS.reshape(-1), axis=0).T.reshape(-1, queries, span.keys)


def distance_rows(like: Array, tokens: int, span: int, buckets: int, farthest: int) -> Array:
    """Which row of the table of distances [2 · `span`] belongs to each query and key, [T, S].

    With `buckets` the nearer half of the distances have a row each, the others share rows that widen up to `farthest`.
    """
    # Plain numbers, the same on every engine: a logarithm that is a little off would be another row.
    distance_TS = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
    if buckets > 0:
        middle = buckets // 2
        far_TS = np.maximum(np.abs(distance_TS), middle).astype(np.float32) / np.float32(middle)
        most = np.log(np.float32((farthest - 1) / middle))
        steps_TS = np.ceil(np.log(far_TS) / most * (middle - 1)).astype(distance_TS.dtype)
        wide_TS = (steps_TS + middle) * np.sign(distance_TS)
        distance_TS = np.where(np.abs(distance_TS) <= middle, distance_TS, wide_TS)
    return namespace(like).asarray(np.clip(distance_TS + span, 0, 2 * span - 1))


def distance_scores(
    query_HTE: Array, key_HTE: Array, keys_HBE: Array | None, queries_HBE: Array | None, rows_TS: Array
) -> Array:
    """query · key of the distance, and key · query of the distance, where there are such, [..., H, T, S]."""
    xp, scores = namespace(query_HTE), []
    rows_1TS = rows_TS[(None,) * (query_HTE.ndim - 2)]
    if keys_HBE is not None:
        scores.append(xp.take_along_axis(query_HTE @ keys_HBE.swapaxes(-1, -2), rows_1TS, axis=-1))
    if queries_HBE is not None:
        met_HSB = key_HTE @ queries_HBE.swapaxes(-1, -2)
        scores.append(xp.take_along_axis(met_HSB, rows_1TS.swapaxes(-1, -2), axis=-1).swapaxes(-1, -2))
    return scores[0] if len(scores) == 1 else scores[0] + scores[1]
