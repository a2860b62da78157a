"""Vectors become logits, one for each token of the vocabulary, and logits become probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.core.array import linear, namespace

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.core.rows import Rows


def logits(hidden_TD: Array, unembedding_VD: Array | Rows, bias_V: Array | None = None) -> Array:
    """hidden · Uᵀ (+ bias): how well each token of the vocabulary fits, [..., T, V]."""
    return linear(hidden_TD, unembedding_VD, bias_V)


def log_softmax(logits_TV: Array) -> Array:
    """Natural logarithms of the probabilities, [..., T, V]."""
    xp = namespace(logits_TV)
    shifted = logits_TV - xp.max(logits_TV, axis=-1, keepdims=True)
    log_probabilities: Array = shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
    return log_probabilities
