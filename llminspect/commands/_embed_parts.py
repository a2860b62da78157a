"""What `embed` says about vectors, and how each part is computed: neighbours, statistics, the plane, the lookup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from llminspect.commands._documents import Dims
from llminspect.commands._embed_vectors import Term, TokenTexts
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.core.geometry import Anisotropy

Metric = Literal["cosine", "dot"]
Group = Literal["text", "neighbour"]

SMALL_VOCABULARY = 16
"""Up to so many tokens the product of the one-hot rows with the table is written out."""


@dataclass(frozen=True)
class Neighbour:
    """A token of the vocabulary near a vector."""

    id: int
    text: str
    cosine: float
    dot: float


@dataclass(frozen=True)
class Analogy:
    """A sum of words: nearest to it are the tokens in `nearest`."""

    expression: str
    terms: list[Term]
    inputs_excluded: bool
    """Whether the tokens of the words themselves were left out of `nearest`."""


@dataclass(frozen=True)
class Text:
    """One of several texts, and which of the tokens are its own."""

    text: str | None
    first: int
    count: int


@dataclass(frozen=True)
class Projection:
    """The vectors in the plane that shows most of their variance."""

    method: Literal["pca"]
    labels: list[str]
    groups: list[Group]
    points: Annotated[Array, Dims("N 2")]
    variance: tuple[float, float]
    """The share of the variance that each axis shows."""


@dataclass(frozen=True)
class Statistics:
    """How the numbers are distributed, and how alike vectors are that have nothing to do with each other."""

    mean: float
    deviation: float
    smallest: float
    largest: float
    mean_cosine: float | None
    """Of all pairs of these vectors; left out for one vector."""
    anisotropy: Anisotropy | None
    """Of random pairs of rows of the embedding table; left out for a small one, and where the vectors are not rows of
    it: inside and at the end of a model all vectors may point the same way."""


@dataclass(frozen=True)
class Outlier:
    """A token whose vector is many times as long as the others' (a massive activation: Sun et al. 2024)."""

    index: int
    norm: float
    times: float
    """Its norm divided by the median norm."""


@dataclass(frozen=True)
class Lookup:
    """e = v E: the one-hot rows [T, V] and the table [V, D] that they pick from, written out where both are small."""

    rows: int
    dim: int
    one_hot: Array | None
    table: Array | None


def outlier_of(vectors_TD: Array) -> Outlier | None:
    """The longest of the vectors, where it is more than ten times as long as the median."""
    import numpy as np

    from llminspect.core.geometry import norms

    lengths_T = norms(vectors_TD)
    longest, median = int(lengths_T.argmax()), float(np.median(lengths_T))
    times = float(lengths_T[longest]) / median if median else 0.0
    return Outlier(longest, float(lengths_T[longest]), times) if times > 10 else None


def lookup_of(table_VD: Array, ids: Sequence[int]) -> Lookup:
    """How ids pick rows of the table, written out where that fits on a page."""
    import numpy as np

    from llminspect.core.embedding import one_hot

    rows, dim = table_VD.shape
    if rows > SMALL_VOCABULARY or dim > SMALL_VOCABULARY:
        return Lookup(rows, dim, None, None)
    return Lookup(rows, dim, one_hot(np.asarray(ids), rows), np.asarray(table_VD))


def statistics_of(vectors_ND: Array, table_VD: Array | None) -> Statistics:
    """How the numbers are distributed; random pairs are taken from the table, where one is given."""
    import numpy as np

    from llminspect.core.geometry import anisotropy, unit

    count = len(vectors_ND)
    # The sum over all pairs of the dot products of unit vectors, without the matrix of pairs.
    total_D = unit(vectors_ND.astype(np.float64)).sum(axis=0)
    pairs = (float(total_D @ total_D) - count) / (count * (count - 1)) if count > 1 else None
    return Statistics(
        float(vectors_ND.mean()),
        float(vectors_ND.std()),
        float(vectors_ND.min()),
        float(vectors_ND.max()),
        pairs,
        None if table_VD is None else anisotropy(table_VD),
    )


def neighbours_of(
    texts: TokenTexts,
    vectors_ND: Array,
    table_VD: Array,
    count: int,
    *,
    metric: Metric = "cosine",
    words: bool = False,
    without: frozenset[int] = frozenset(),
) -> list[list[Neighbour]]:
    """The `count` nearest rows of the table to each vector, best first."""
    from llminspect.commands._embed_vectors import best_ids
    from llminspect.core.geometry import vocabulary_products

    found = []
    # In pieces of the text: dot products with the whole vocabulary are V numbers a token.
    for start in range(0, len(vectors_ND), 256):
        dots_NV, cosines_NV = vocabulary_products(vectors_ND[start : start + 256], table_VD)
        scores_NV = dots_NV if metric == "dot" else cosines_NV
        for scores_V, dots_V, cosines_V in zip(scores_NV, dots_NV, cosines_NV, strict=True):
            ids = best_ids(scores_V, count, texts, words=words, without=without)
            found.append([Neighbour(i, texts(i), float(cosines_V[i]), float(dots_V[i])) for i in ids])
    return found


def projection_of(
    labels: list[str], vectors_ND: Array, nearest: list[list[Neighbour]] | None, table_VD: Array
) -> Projection:
    """The vectors, and the neighbours that were found, in the plane of their first two principal components."""
    import numpy as np

    from llminspect.core.geometry import principal_plane

    near = {entry.id: entry.text for entries in nearest or [] for entry in entries if entry.text not in labels}
    rows = [vectors_ND, *([np.take(table_VD, list(near), axis=0)] if near else [])]
    everything = np.concatenate(rows)
    if len(everything) < 2:
        raise UsageError("--project needs at least two vectors", "give a longer text, or --nearest 10 beside it")
    plane = principal_plane(everything)
    groups: list[Group] = ["text" for _ in labels]
    groups += ["neighbour" for _ in near]
    return Projection("pca", [*labels, *near.values()], groups, plane.points_N2, plane.shares)
