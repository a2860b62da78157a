"""What `circuit` answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import numpy as np

from llminspect.analysis.result import Dims, Result, Tokens
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
    from llminspect.analysis.candidates import NamedToken
    from llminspect.analysis.circuit_search import CurvePoint
    from llminspect.analysis.over import OverFile

NAMES = ("readers", "writers")

CircuitEdge = TypedDict("CircuitEdge", {"from": str, "to": str, "score": float})
"""From what writes to what reads: of a head its `query`, `key` or `value`. The score is in logits."""


@dataclass(frozen=True)
class CircuitNode:
    """A head, a feed-forward step, the embedding or the logits."""

    name: str
    score: float
    """About as much as the difference of the logits falls if it writes what it writes in the corrupt text: the sum of
    the scores of all edges from it, of the logits of those to it."""


@dataclass(frozen=True)
class GraphControl:
    """The faithfulness of random graphs of as many edges, all on ways from the embedding to the logits."""

    graphs: int
    mean: float
    low: float
    high: float
    seed: int


@dataclass(frozen=True)
class MethodAreas:
    """How well the scores of a method order the edges."""

    name: str
    steps: int
    edges: int
    """How many of its edges keep the share that was wanted."""
    cpr: float
    """The area under the curve of faithfulness over the share of edges, those with the highest scores first: the more
    the better."""
    cmd: float
    """The area between 1 and the curve with the largest scores of either sign first: the less the better."""


@dataclass(frozen=True)
class CircuitPair:
    """One pair of many."""

    clean: str | None
    corrupt: str | None
    target: NamedToken
    versus: NamedToken
    difference: float
    corrupt_difference: float
    faithfulness: float
    """Of the graph, with this pair alone."""


@dataclass(frozen=True)
class MeasuredSize:
    """A graph of the edges with the largest scores that was measured."""

    edges: int
    faithfulness: float


@dataclass(frozen=True)
class HeadWeights:
    """Whom a head looks at in the clean text."""

    name: str
    weights: list[list[float]]
    """Of each token those up to itself."""


@dataclass(frozen=True)
class CircuitPage:
    """What the interactive page shows besides."""

    edges: list[CircuitEdge]
    """The largest scores of all edges, also of those on no way from the embedding to the logits."""
    sizes: list[MeasuredSize]
    """All graphs that were measured, the smallest first …"""
    found: int
    """… and which of them is the one that was found."""
    heads: list[HeadWeights]


@dataclass(frozen=True)
class CircuitResult(Result):
    """The smallest graph that was found. Of many pairs (`over`) each number is that of all of them together: the mean
    of the differences, and of the scores, and the share of the whole effect."""

    text: str | None
    tokens: Tokens | None
    corrupt_text: str | None
    corrupt_tokens: Tokens | None
    target: NamedToken | None
    versus: NamedToken | None
    over: OverFile | None
    pairs: list[CircuitPair] | None
    difference: float
    """logit of target − logit of versus after the clean text …"""
    corrupt_difference: float
    """… and after the corrupt one: the effect is what lies between them."""
    method: Literal["EAP-IG", "EAP"]
    steps: int
    keep: float
    nodes: list[CircuitNode]
    edges: list[CircuitEdge]
    """Those of the graph, the largest score first."""
    faithfulness: float
    """Which share of the effect is there where all other edges carry what the corrupt text gives."""
    completeness: float
    """Which share is lost where all other edges are left and these carry what the corrupt text gives."""
    of_nodes: int
    of_edges: int
    """How many the whole model has."""
    control: GraphControl
    methods: list[MethodAreas]
    curve: list[CurvePoint]
    """By the size of scores."""
    page: CircuitPage | None = None
    scores: Annotated[Array, Dims("R U")] | None = None
    """In Python: of every edge, with `readers` and `writers`; in the .npz too."""
    readers: list[str] | None = None
    writers: list[str] | None = None


def for_json(result: CircuitResult) -> CircuitResult:
    """It without the scores of all edges, which are for programs."""
    return replace(result, scores=None, readers=None, writers=None)


def circuit_arrays(result: CircuitResult) -> dict[str, Array]:
    """What `--save FILE.npz` holds: the score of every edge [R, U], and the names of rows and columns, JSON lists as
    their bytes."""
    names = {name: np.frombuffer(json.dumps(getattr(result, name)).encode(), np.uint8) for name in NAMES}
    assert result.scores is not None
    return {"scores": result.scores, **names}
