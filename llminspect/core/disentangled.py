"""Scores of contents with distances: He et al. 2021, "DeBERTa", section 3.1, eq. 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.array import namespace

if TYPE_CHECKING:
    from llminspect.core.array import Array


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
    rows_TS: Array = namespace(like).asarray(np.clip(distance_TS + span, 0, 2 * span - 1))
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
