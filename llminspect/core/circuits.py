"""A head between any two tokens, of its weights alone: what it writes of one, and how much one looks for the other.

Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits": the OV circuit and the QK circuit are matrices
of vocabulary × vocabulary and of rank E, so all that is asked of them is asked of their two factors, [V, E] each.
"""

from __future__ import annotations

import heapq

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.geometry import norms

ROWS_AT_ONCE = 8192
"""Rows of a vocabulary that are worked on at once."""
QUERIES = 256
"""Query tokens whose scores with every key are computed at once."""
ZERO = 1e-5
"""Of the largest eigenvalue: what is smaller is what rounding left of 0."""
TRIED = 2048
"""Query tokens that are tried at most."""


def eigenvalues(value_VE: Array, write_EV: Array) -> Array:
    """Those of value · write [V, V] that are not 0: those of write · value, E complex numbers or fewer."""
    product_EE = np.zeros((len(write_EV), len(write_EV)))
    for start in range(0, len(value_VE), ROWS_AT_ONCE):
        product_EE += write_EV[:, start : start + ROWS_AT_ONCE] @ value_VE[start : start + ROWS_AT_ONCE]
    found = np.linalg.eigvals(product_EE)
    sizes = np.abs(found)
    nonzero: Array = found[sizes > ZERO * sizes.max(initial=0)]
    return nonzero


def copying_score(eigenvalues_E: Array) -> float:
    """Σ λ / Σ |λ|: 1 where a token raises itself and what is like it, −1 where it lowers them (Elhage et al. 2021,
    "Detecting copying heads"). NaN where the head writes nothing."""
    whole = float(np.abs(eigenvalues_E).sum())
    return float(eigenvalues_E.real.sum()) / whole if whole else float("nan")


@dataclass(frozen=True)
class Decomposed:
    """A product of two thin matrices as Σ value · out inᵀ, largest first: [E], [D, E] and [D, E]."""

    value_E: Array
    out_DE: Array
    in_DE: Array


def decomposed(write_DE: Array, read_ED: Array) -> Decomposed:
    """The singular values and directions of write · read [D, D] in float64, through matrices of E × E."""
    out_DR, right_RE = np.linalg.qr(write_DE.astype(np.float64))
    in_DR, left_RE = np.linalg.qr(read_ED.T.astype(np.float64))
    left_RR, value_R, right_RR = np.linalg.svd(right_RE @ left_RE.T)
    return Decomposed(value_R, out_DR @ left_RR[:, : len(value_R)], in_DR @ right_RR[: len(value_R)].T)


def sizes_of_writes(value_NE: Array, write_EV: Array) -> Array:
    """The root mean square over the vocabulary of each row of value · write, [N], without making any of them."""
    gram_EE = (write_EV @ write_EV.T).astype(np.float64) / write_EV.shape[1]
    squares_N = np.einsum(
        "ne,ef,nf->n", value_NE.astype(np.float64), gram_EE, value_NE.astype(np.float64), optimize=True
    )
    sizes_N: Array = np.sqrt(np.maximum(squares_N, 0))
    return sizes_N


@dataclass(frozen=True)
class BestPairs:
    """Queries with the key that each looks for most, best first."""

    pairs: list[tuple[float, int, int]]
    """(score, query, key)."""
    tried: int
    """How many queries were tried, those with the longest vectors."""
    exact: bool
    """Whether no other query could have a better pair."""


def best_pairs(
    query_VE: Array, key_VE: Array, queries_Q: Array, keys_S: Array, count: int, most: int = TRIED
) -> BestPairs:
    """The `count` best of the pairs of each query and its best key, among those of these ids.

    A query is tried only while its length times that of the longest key (Cauchy and Schwarz) can still be among the
    best, and `most` at most.
    """
    order_Q = queries_Q[np.argsort(-norms(query_VE[queries_Q]), kind="stable")]
    lengths_Q, longest = norms(query_VE[order_Q]), float(norms(key_VE[keys_S]).max(initial=0))
    best: list[tuple[float, int, int]] = []
    tried = 0
    key_SE = key_VE[keys_S]
    while tried < min(most, len(order_Q)):
        if len(best) == count and lengths_Q[tried] * longest <= best[0][0]:
            break
        some_q = order_Q[tried : min(tried + QUERIES, most)]
        scores_qS = query_VE[some_q] @ key_SE.T
        places_q = scores_qS.argmax(axis=1)
        for query, place, row_S in zip(some_q.tolist(), places_q.tolist(), scores_qS, strict=True):
            entry = (float(row_S[place]), query, int(keys_S[place]))
            if len(best) < count:
                heapq.heappush(best, entry)
            else:
                heapq.heappushpop(best, entry)
        tried += len(some_q)
    left = lengths_Q[tried] * longest if tried < len(order_Q) else -np.inf
    exact = tried == len(order_Q) or (len(best) == count and bool(left <= best[0][0]))
    return BestPairs(sorted(best, key=lambda entry: (-entry[0], entry[1])), tried, exact)
