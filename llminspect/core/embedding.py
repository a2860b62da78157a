"""Ids become vectors: a row of the embedding matrix each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.core.array import namespace
from llminspect.core.rows import RowsOnDemand

if TYPE_CHECKING:
    from llminspect.core.array import Array


def look_up(embedding_VD: Array | RowsOnDemand, ids_T: Array) -> Array:
    """The rows of `embedding_VD` for `ids_T` [..., T] -> [..., T, D]."""
    if isinstance(embedding_VD, RowsOnDemand):
        return embedding_VD[ids_T]
    rows: Array = namespace(embedding_VD).take(embedding_VD, ids_T, axis=0)
    return rows


def one_hot(ids_T: Array, vocabulary_size: int) -> Array:
    """A row of zeros with a one at the id, for each id [..., T] -> [..., T, V]: one_hot · E is what `look_up` reads."""
    xp = namespace(ids_T)
    hits: Array = ids_T[..., None] == xp.arange(vocabulary_size)
    return hits.astype("float32")
