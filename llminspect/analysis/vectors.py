"""Where the vectors of `embed` come from, and what is said of them: statistics, the lookup, the plane that shows most
of their variance; and the position code by itself (`--positions`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal

import numpy as np

from llminspect.analysis.neighbours import Neighbour
from llminspect.analysis.passes import captured, run_until
from llminspect.analysis.result import Dims
from llminspect.core.array import Array, look_up, one_hot
from llminspect.core.dataclass import dataclass
from llminspect.core.geometry import Anisotropy, anisotropy, norms, principal_plane, unit
from llminspect.core.rotary import measured_rotation
from llminspect.core.tap import Capture, Enough, Until
from llminspect.errors import ModelError, UsageError, UserError
from llminspect.model.opened import Model

SMALL_VOCABULARY = 16
"""Up to so many tokens the product of the one-hot rows with the table is written out."""


@dataclass(frozen=True)
class TextSpan:
    """One of several texts, and which of the tokens are of it."""

    text: str | None
    first: int
    count: int


@dataclass(frozen=True)
class VectorStatistics:
    """How the numbers are distributed, and how similar vectors are that have nothing to do with each other."""

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
class TableLookup:
    """e = x · E: the one-hot rows [T, V] and the table [V, D] that they pick from, written out where both are small."""

    rows: int
    dim: int
    one_hot: Array | None
    table: Array | None


def outlier_of(vectors_TD: Array) -> Outlier | None:
    """The longest of the vectors, where it is more than ten times as long as the median."""
    lengths_T = norms(vectors_TD)
    longest, median = int(lengths_T.argmax()), float(np.median(lengths_T))
    times = float(lengths_T[longest]) / median if median else 0.0
    return Outlier(longest, float(lengths_T[longest]), times) if times > 10 else None


def lookup_of(table_VD: Array, ids: Sequence[int]) -> TableLookup:
    """How ids pick rows of the table, written out where that fits on a page."""
    rows, dim = table_VD.shape
    if rows > SMALL_VOCABULARY or dim > SMALL_VOCABULARY:
        return TableLookup(rows, dim, None, None)
    return TableLookup(rows, dim, one_hot(np.asarray(ids), rows), np.asarray(table_VD))


def statistics_of(vectors_ND: Array, table_VD: Array | None) -> VectorStatistics:
    """How the numbers are distributed; random pairs are taken from the table, where one is given."""
    count = len(vectors_ND)
    # The sum over all pairs of the dot products of unit vectors, without the matrix of pairs.
    total_D = unit(vectors_ND.astype(np.float64)).sum(axis=0)
    pairs = (float(total_D @ total_D) - count) / (count * (count - 1)) if count > 1 else None
    mean, deviation, smallest, largest = vectors_ND.mean(), vectors_ND.std(), vectors_ND.min(), vectors_ND.max()
    random = None if table_VD is None else anisotropy(table_VD)
    return VectorStatistics(float(mean), float(deviation), float(smallest), float(largest), pairs, random)


def vectors_at(model: Model, ids: Sequence[int], at: str) -> Array:
    """The vectors [T, D] of the tokens at a place of the model.

    "embedding": the rows of the table, as they are stored. A layer: the residual stream after it. "final": what is
    compared with the vocabulary in the end (after the final norm), or for an encoder what it gives out.
    """
    if at == "embedding":
        return look_up(model.params["embedding.weight"], np.asarray(ids))
    if at == "final":
        stream_TD = model.run(ids).stream_TD
        if "final.norm.weight" not in model.params and not model.config.weightless_norms:
            return stream_TD
        kept = Capture("final.norm")
        with suppress(Enough, ModelError):  # One without an output matrix ends after its norm.
            model.logits(stream_TD, Until(kept, "final.norm"))
        return kept.arrays.get("final.norm", stream_TD)
    name = f"layers.{at}.output"
    return captured(model, ids, [name])[name]


def vocabulary_table(model: Model, at: str) -> tuple[Literal["embedding", "unembedding"], Array]:
    """The table [V, D] in which neighbours are looked for, and its name.

    At the end of a model that has another table for its output, that one: there the final vectors are compared.
    """
    output_VD = model.params.get("unembedding.weight") if at == "final" else None
    name: Literal["embedding", "unembedding"] = "embedding" if output_VD is None else "unembedding"
    return name, np.asarray(model.params["embedding.weight"] if output_VD is None else output_VD)


FEWEST, MOST = 32, 512
"""Positions that are looked at, however short or long the text is."""


@dataclass(frozen=True)
class PositionCode:
    """The position code by itself, one row for each position.

    added: the vectors that are added to those of the tokens. rotary: the angle in radians by which each pair of numbers
    of a query and a key is turned, in (−π, π].
    """

    kind: Literal["added", "rotary"]
    code: Annotated[Array, Dims("T P")]
    layer: int | None = None
    """Of a rotary code: the layer that it was measured in."""
    pairs: Literal["halves", "interleaved"] | None = None
    """Which numbers make a pair: i and i + P, or 2i and 2i + 1."""


def position_code_of(model: Model, tokens: int) -> PositionCode:
    """Read the position code off a pass over one token repeated, so that nothing but the place differs.

    Raises UserError for a model that adds none where it can be seen.
    """
    count = min(max(tokens, FEWEST), MOST, model.config.sizes.context)
    layers, ids = model.config.sizes.L, [0] * count
    kept = Capture("embedding.position*", "layers.*.attention.query", "layers.*.attention.query.*", optional=True)
    run_until(model, ids, kept, ["layers.3.attention.query"])
    added = [array for name, array in kept.arrays.items() if name.startswith("embedding.position")]
    if added:
        return PositionCode("added", added[0])
    for layer in range(min(layers, 4)):
        name = f"layers.{layer}.attention.query"
        before = kept.arrays.get(f"{name}.normed", kept.arrays.get(f"{name}.projected"))
        after = kept.arrays.get(f"{name}.turned", kept.arrays.get(name))
        found = None if before is None or after is None else measured_rotation(before, after)
        if found is not None:
            return PositionCode("rotary", found.angles_TP, layer, found.layout)
    raise UserError(f"{model.name} adds nothing to a token for its position", "its attention may add it to the scores")


Group = Literal["text", "neighbour"]


@dataclass(frozen=True)
class PlaneProjection:
    """The vectors in the plane that shows most of their variance."""

    method: Literal["pca"]
    labels: list[str]
    groups: list[Group]
    points: Annotated[Array, Dims("N 2")]
    variance: tuple[float, float]
    """The share of the variance that each axis shows."""


def projection_of(
    labels: list[str], vectors_ND: Array, nearest: list[list[Neighbour]] | None, table_VD: Array
) -> PlaneProjection:
    """The vectors, and the neighbours that were found, in the plane of their first two principal components."""
    near = {entry.id: entry.text for entries in nearest or [] for entry in entries if entry.text not in labels}
    rows = [vectors_ND, *([np.take(table_VD, list(near), axis=0)] if near else [])]
    everything = np.concatenate(rows)
    if len(everything) < 2:
        raise UsageError("--project needs at least two vectors", "give a longer text, or --nearest 10 beside it")
    plane = principal_plane(everything)
    groups: list[Group] = ["text" for _ in labels]
    groups += ["neighbour" for _ in near]
    return PlaneProjection("pca", [*labels, *near.values()], groups, plane.points_N2, plane.shares)
