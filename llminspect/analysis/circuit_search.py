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

    from llminspect.analysis.circuit_scores import Contrasts
    from llminspect.core.array import Array

GROWTH = 1.5
"""From one size that is tried to the next, until one is large enough; between it and the last, halves."""


class Graphs:
    """The graphs of the edges with the highest values, each measured once; `tried` is called for each."""

    def __init__(self, contrasts: Contrasts, value_RU: Array, tried: Callable[[], object]) -> None:
        self.contrasts, self.tried = contrasts, tried
        self.order = contrasts.wiring.order(value_RU)
        self.measured: dict[int, float] = {}

    def of(self, count: int) -> Array:
        """That of `count` edges, less those that stand on no way from the embedding to the logits, [R, U]."""
        wiring = self.contrasts.wiring
        if count == len(self.order):
            return wiring.possible_RU
        kept_RU = np.zeros(wiring.possible_RU.shape, bool)
        kept_RU.flat[self.order[:count]] = True
        return wiring.connected(kept_RU)

    def faithfulness(self, count: int) -> float:
        """How faithful it is."""
        if count not in self.measured:
            self.tried()
            whole = count == len(self.order)  # The clean passes themselves.
            self.measured[count] = 1.0 if whole else self.contrasts.faithfulness(self.of(count))
        return self.measured[count]


def smallest(graphs: Graphs, keep: float) -> int:
    """The first size, as edges come, whose faithfulness is at least `keep`. Sizes are tried by steps of a half, then
    between two."""
    too_small, size, most = 0, 1, len(graphs.order)
    while graphs.faithfulness(size) < keep and size < most:
        too_small, size = size, min(most, max(size + 1, int(size * GROWTH)))
    while size - too_small > 1:
        middle = (too_small + size) // 2
        if graphs.faithfulness(middle) < keep:
            too_small = middle
        else:
            size = middle
    return size


@dataclass(frozen=True)
class CurvePoint:
    """How faithful the graph of a share of all edges is."""

    share: float
    edges: int
    faithfulness: float


def curve(graphs: Graphs) -> list[CurvePoint]:
    """At the sizes of the benchmark, the edges with the highest values first."""
    counts = [(share, int(share * len(graphs.order))) for share in SHARES]
    return [CurvePoint(share, count, graphs.faithfulness(count)) for share, count in counts]


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


def random_graphs(contrasts: Contrasts, count: int, graphs: int, seed: int, tried: Callable[[], object]) -> list[float]:
    """The faithfulness of random graphs of `count` edges, each on a way from the embedding to the logits."""
    chance, found = np.random.default_rng(seed), []
    for _ in range(graphs):
        tried()
        found.append(contrasts.faithfulness(contrasts.wiring.random(count, chance)))
    return found
