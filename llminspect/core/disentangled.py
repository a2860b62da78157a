"""Scores of contents with distances: He et al. 2021, "DeBERTa", section 3.1, eq. 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.core.array import namespace

if TYPE_CHECKING:
    from llminspect.core.array import Array


def distance_rows(like: Array, tokens: int, span: int, buckets: int, farthest: int) -> Array:
    """Which row of the table of distances [2 · `span`] belongs to each query and key, [T, S].

    With `buckets` the nearer half of the distances have a row each, the others share rows that widen up to `farthest`.
    """
    xp = namespace(like)
    distance_TS = xp.arange(tokens)[:, None] - xp.arange(tokens)[None, :]
    if buckets > 0:
        middle = buckets // 2
        far_TS = xp.maximum(xp.abs(distance_TS), xp.full_like(distance_TS, middle)).astype("float32") / middle
        # Of the same kind of number as those above, so that the farthest is 1 and no more.
        most = xp.log(xp.asarray((farthest - 1) / middle, dtype="float32"))
        steps_TS = xp.ceil(xp.log(far_TS) / most * (middle - 1)).astype(distance_TS.dtype)
        wide_TS = (steps_TS + middle) * xp.sign(distance_TS)
        distance_TS = xp.where(xp.abs(distance_TS) <= middle, distance_TS, wide_TS)
    rows_TS: Array = xp.clip(distance_TS + span, 0, 2 * span - 1)
    return rows_TS


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
    total_HTS: Array = scores[0] if len(scores) == 1 else scores[0] + scores[1]
    return total_HTS
