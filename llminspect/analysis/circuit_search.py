"""The smallest graph that keeps a share of an effect, measured exactly, and what it is measured beside.

Wang et al. 2022, "Interpretability in the Wild", section 4 (faithfulness, completeness); Mueller et al. 2025, "MIB: A
Mechanistic Interpretability Benchmark" (the areas CPR and CMD).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.dataclass import dataclass
from llminspect.core.edges import SHARES, areas

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.analysis.circuit_scores import Contrast
    from llminspect.core.array import Array

GROWTH = 1.5
"""From one size that is tried to the next, until one is large enough; between it and the last, halves."""


@dataclass(frozen=True)
class FoundGraph:
    """A graph that keeps as much as was wanted."""

    kept_RU: Array
    faithfulness: float


def smallest(contrast: Contrast, score_RU: Array, keep: float, tried: Callable[[], object]) -> FoundGraph:
    """The first graph, as edges come by the size of their scores, whose faithfulness is at least `keep`; less the edges
    that stand on no way from the embedding to the logits. Sizes are tried by steps of a half, then between two."""
    size_RU, most = np.abs(score_RU), int(contrast.wiring.possible_RU.sum())
    too_small, size = 0, 1
    found = graph_of(contrast, size_RU, size, tried)
    while found.faithfulness < keep and size < most:
        too_small, size = size, min(most, max(size + 1, int(size * GROWTH)))
        found = graph_of(contrast, size_RU, size, tried)
    while size - too_small > 1:
        middle = (too_small + size) // 2
        between = graph_of(contrast, size_RU, middle, tried)
        if between.faithfulness < keep:
            too_small = middle
        else:
            size, found = middle, between
    return found


def graph_of(contrast: Contrast, size_RU: Array, count: int, tried: Callable[[], object]) -> FoundGraph:
    """The graph of the `count` edges of the largest scores, and its faithfulness."""
    possible_RU = contrast.wiring.possible_RU
    tried()
    if count == possible_RU.sum():
        return FoundGraph(possible_RU, 1.0)  # The clean pass itself.
    kept_RU = contrast.wiring.connected(contrast.wiring.strongest(size_RU, count))
    return FoundGraph(kept_RU, contrast.faithfulness(kept_RU))


@dataclass(frozen=True)
class CurvePoint:
    """How faithful the graph of a share of all edges is."""

    share: float
    edges: int
    faithfulness: float


def curve(contrast: Contrast, score_RU: Array, tried: Callable[[], object]) -> list[CurvePoint]:
    """At the sizes of the benchmark, the edges with the highest scores first."""
    most = int(contrast.wiring.possible_RU.sum())
    points = []
    for share in SHARES:
        count = int(share * most)
        points.append(CurvePoint(share, count, graph_of(contrast, score_RU, count, tried).faithfulness))
    return points


def cpr(points: list[CurvePoint]) -> float:
    """The area below the curve; its edges are taken by signed scores, so what speaks for the answer comes first."""
    return areas([point.share for point in points], [point.faithfulness for point in points])[0]


def cmd(points: list[CurvePoint]) -> float:
    """The area between the curve and 1; its edges are taken by the size of their scores."""
    return areas([point.share for point in points], [point.faithfulness for point in points])[1]


def planned(edges: int, controls: int) -> int:
    """How many graphs are measured, at most: of two methods, each searched and drawn as two curves."""
    sizes = math.ceil(math.log(edges + 1, GROWTH)) + math.ceil(math.log2(edges + 1))
    return 2 * (sizes + 2 * len(SHARES)) + 1 + controls


def random_graphs(contrast: Contrast, count: int, graphs: int, seed: int, tried: Callable[[], object]) -> list[float]:
    """The faithfulness of random graphs of `count` edges, each on a way from the embedding to the logits."""
    chance, found = np.random.default_rng(seed), []
    for _ in range(graphs):
        tried()
        found.append(contrast.faithfulness(contrast.wiring.random(count, chance)))
    return found
