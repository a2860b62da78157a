"""The smallest graph that keeps a share of an effect, measured exactly, and what it is measured beside.

Wang et al. 2022, "Interpretability in the Wild", section 4 (faithfulness, completeness); Mueller et al. 2025, "MIB: A
Mechanistic Interpretability Benchmark" (the areas CPR and CMD).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence

import numpy as np

from llminspect.analysis.circuit_scores import Contrasts
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.edges import SHARES, areas

GROWTH = 1.5
"""From one size that is tried to the next, until one is large enough; between it and the last, halves."""


AHEAD = 4
"""Sizes that are tried at once while they grow."""


class Graphs:
    """The graphs of the edges with the highest values, each measured once; `tried` is called for each."""

    def __init__(self, contrasts: Contrasts, value_RU: Array, tried: Callable[[], object]) -> None:
        self.contrasts, self.tried = contrasts, tried
        self.order = contrasts.wiring.order(value_RU)
        self.measured: dict[int, float] = {len(self.order): 1.0}  # The clean passes themselves.

    def of(self, count: int) -> Array:
        """That of `count` edges, less those that stand on no way from the embedding to the logits, [R, U]."""
        wiring = self.contrasts.wiring
        if count == len(self.order):
            return wiring.possible_RU
        kept_RU = np.zeros(wiring.possible_RU.shape, bool)
        kept_RU.flat[self.order[:count]] = True
        return wiring.connected(kept_RU)


def measure(wanted: Sequence[tuple[Graphs, int]]) -> None:
    """Measure these sizes of graphs over the same pairs, as many together as there is room for."""
    missing = [(graphs, count) for graphs, count in dict.fromkeys(wanted) if count not in graphs.measured]
    if not missing:
        return
    contrasts = missing[0][0].contrasts
    for start in range(0, len(missing), contrasts.together):
        some = missing[start : start + contrasts.together]
        found = contrasts.faithfulness(*(graphs.of(count) for graphs, count in some))
        for (graphs, count), faithfulness in zip(some, found, strict=True):
            graphs.measured[count] = faithfulness
            graphs.tried()


def smallest(searched: Sequence[Graphs], keep: float) -> list[int]:
    """Of each the first size, as edges come, whose faithfulness is at least `keep`; all are searched side by side."""
    searches = [_search(graphs, keep) for graphs in searched]
    found: dict[int, int] = {}
    while len(found) < len(searches):
        wanted: list[tuple[Graphs, int]] = []
        for at, search in enumerate(searches):
            if at not in found:
                try:
                    wanted += [(searched[at], count) for count in next(search)]
                except StopIteration as end:
                    found[at] = end.value
        measure(wanted)
    return [found[at] for at in range(len(searches))]


def _search(graphs: Graphs, keep: float) -> Generator[list[int], None, int]:
    """The sizes that have to be measured next, until one is found. They grow by a half until one is large enough, then
    the middle between two is tried."""
    sizes, most = [1], len(graphs.order)
    while sizes[-1] < most:
        sizes.append(min(most, max(sizes[-1] + 1, int(sizes[-1] * GROWTH))))
    for at in range(0, len(sizes), AHEAD):
        yield sizes[at : at + AHEAD]
        if any(graphs.measured[size] >= keep for size in sizes[at : at + AHEAD]):
            break
    place = next(at for at, size in enumerate(sizes) if graphs.measured[size] >= keep)
    too_small, size = (sizes[place - 1] if place else 0), sizes[place]
    while size - too_small > 1:
        middle = (too_small + size) // 2
        yield [middle]
        if graphs.measured[middle] < keep:
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
    measure([(graphs, count) for _, count in counts])
    return [CurvePoint(share, count, graphs.measured[count]) for share, count in counts]


def cpr(points: list[CurvePoint]) -> float:
    """The area below the curve; its edges are taken by signed scores, so what speaks for the answer comes first."""
    return areas([point.share for point in points], [point.faithfulness for point in points])[0]


def cmd(points: list[CurvePoint]) -> float:
    """The area between the curve and 1; its edges are taken by the size of their scores."""
    return areas([point.share for point in points], [point.faithfulness for point in points])[1]


def planned(edges: int, controls: int) -> int:
    """How many graphs are measured, at most: of two methods, each searched and drawn as two curves."""
    sizes = math.ceil(math.log(edges + 1, GROWTH)) + AHEAD + math.ceil(math.log2(edges + 1))
    return 2 * (sizes + 2 * len(SHARES)) + 1 + controls


def random_graphs(contrasts: Contrasts, count: int, graphs: int, seed: int, tried: Callable[[], object]) -> list[float]:
    """The faithfulness of random graphs of `count` edges, each on a way from the embedding to the logits."""
    chance, found = np.random.default_rng(seed), list[float]()
    for start in range(0, graphs, contrasts.together):
        some = [contrasts.wiring.random(count, chance) for _ in range(start, min(graphs, start + contrasts.together))]
        found += contrasts.faithfulness(*some)
        for _ in some:
            tried()
    return found
