"""A transformer as a graph: what writes into the residual stream, and what reads all that was written before it.

Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (the stream is a sum); Syed et al. 2023,
"Attribution Patching Outperforms Automated Circuit Discovery" (an edge from each writer to each later reader). The
writers U are the embedding, each head and each feed-forward step; the readers R the query, the key and the value of
each head, each feed-forward step, and the logits. A graph is a matrix [R, U] of which edges it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass

HEAD_PARTS = ("query", "key", "value")
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of all edges: the sizes at which Mueller et al. 2025, "MIB", measure."""


@dataclass(frozen=True)
class Node:
    """A part of the model, and where its edges stand."""

    name: str
    """`embedding`, `3.2` (layer 3, head 2), `3.feedforward`, `logits`."""
    kind: Literal["embedding", "head", "feedforward", "logits"]
    layer: int | None
    writes: int | None
    """Its column; None for the logits, which nothing reads."""
    reads: tuple[int, ...]
    """Its rows: of a head three."""
    before: int
    """So many writers come before it: it reads those."""


@dataclass(frozen=True)
class Wiring:
    """All nodes of a model, in the order of the pass."""

    nodes: tuple[Node, ...]

    @cached_property
    def writers(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.writes is not None)

    @cached_property
    def owner_R(self) -> Array:
        """Which node each row is of, by its place among the nodes."""
        owner_R = np.empty(sum(len(node.reads) for node in self.nodes), int)
        for place, node in enumerate(self.nodes):
            owner_R[list(node.reads)] = place
        return owner_R

    @cached_property
    def possible_RU(self) -> Array:
        """Which edges there are."""
        before_R = np.array([self.nodes[place].before for place in self.owner_R])
        return np.arange(len(self.writers)) < before_R[:, None]

    def readers(self) -> list[str]:
        """The name of each row: `3.2.query`, `3.feedforward`, `logits`."""
        names = [self.nodes[place].name for place in self.owner_R]
        for node in self.nodes:
            if node.kind == "head":
                for row, part in zip(node.reads, HEAD_PARTS, strict=True):
                    names[row] += f".{part}"
        return names

    def connected(self, kept_RU: Array) -> Array:
        """The edges that stand on a way from the embedding to the logits. The others change nothing: what reads only
        what is patched gives what is patched."""
        fed_U = np.zeros(kept_RU.shape[1], bool)
        for node in self.writers:
            fed_U[node.writes] = node.kind == "embedding" or (kept_RU[list(node.reads)] & fed_U).any()
        used = np.zeros(len(self.nodes), bool)
        used[-1] = True
        for place in reversed(range(len(self.nodes) - 1)):
            used[place] = bool((kept_RU[:, self.nodes[place].writes] & used[self.owner_R]).any())
        return kept_RU & fed_U & used[self.owner_R][:, None]

    def strongest(self, score_RU: Array, count: int) -> Array:
        """The `count` edges with the highest scores; of equal ones the first."""
        kept_RU = np.zeros(score_RU.shape, bool)
        kept_RU.flat[self.order(score_RU)[:count]] = True
        return kept_RU

    def order(self, score_RU: Array) -> Array:
        """The places of all edges, the highest score first."""
        places = np.flatnonzero(self.possible_RU)
        return places[np.argsort(-score_RU.flat[places], kind="stable")]

    def random(self, count: int, chance: np.random.Generator) -> Array:
        """`count` edges, or as few more as finish a way: random ways from the logits back to the embedding, at each
        node any edge into it as probable as any other; of a graph so dense that ways find too few, any edges more."""
        kept_RU, by_writer = np.zeros(self.possible_RU.shape, bool), {node.writes: node for node in self.writers}
        found: set[tuple[int, int]] = set()
        for _ in range(count + 100):
            if len(found) >= count:
                break
            node = self.nodes[-1]
            while node.reads:
                edge = int(chance.choice(node.reads)), int(chance.integers(node.before))
                found.add(edge)
                node = by_writer[edge[1]]
        for row, writer in found:
            kept_RU[row, writer] = True
        left = np.flatnonzero(self.possible_RU & ~kept_RU)
        more = min(max(0, count - len(found)), len(left))
        kept_RU.flat[chance.choice(left, more, replace=False)] = True
        return kept_RU

    def touched(self, kept_RU: Array) -> list[Node]:
        """The nodes that edges lead from or to."""
        written_U, read_R = np.asarray(kept_RU.any(axis=0)), np.asarray(kept_RU.any(axis=1))
        return [
            node
            for node in self.nodes
            if (node.writes is not None and written_U[node.writes]) or read_R[list(node.reads)].any()
        ]


def wired(layers: Sequence[tuple[int, bool]], parallel: bool = False) -> Wiring:
    """The graph of a model whose layers have so many heads, and a feed-forward step or none; `parallel`: which reads
    what the heads of its layer read.

    >>> graph = wired([(2, True)])
    >>> [node.name for node in graph.nodes], int(graph.possible_RU.sum())
    (['embedding', '0.0', '0.1', '0.feedforward', 'logits'], 13)
    """
    return Wiring(tuple(_nodes(layers, parallel)))


def _nodes(layers: Sequence[tuple[int, bool]], parallel: bool) -> Iterator[Node]:
    yield Node("embedding", "embedding", None, 0, (), 0)
    writes, reads = 1, 0
    for layer, (heads, feeds) in enumerate(layers):
        before = writes
        for head in range(heads):  # All queries of a layer stand together, then all keys, then all values.
            rows = tuple(reads + part * heads + head for part in range(3))
            yield Node(f"{layer}.{head}", "head", layer, writes + head, rows, before)
        writes, reads = writes + heads, reads + 3 * heads
        if feeds:
            yield Node(f"{layer}.feedforward", "feedforward", layer, writes, (reads,), before if parallel else writes)
            writes, reads = writes + 1, reads + 1
    yield Node("logits", "logits", None, None, (reads,), writes)


def areas(shares: Sequence[float], faithfulness: Sequence[float]) -> tuple[float, float]:
    """The area below the curve of the faithfulness over the share of edges, and that between it and 1, by trapezoids
    from the smallest share to 1 (Mueller et al. 2025, "MIB: A Mechanistic Interpretability Benchmark", section 3.1:
    CPR, the more the better, and CMD, the less the better). The benchmark's own code (hannamw/MIB-circuit-track,
    evaluation.py) measures at these shares of all edges, rounded down, prunes each graph, and sums as here.

    >>> areas([0.0, 0.5, 1.0], [0.0, 1.5, 1.0])
    (1.0, 0.5)
    """
    x, y = np.asarray(shares), np.asarray(faithfulness)
    return float(np.trapezoid(y, x)), float(np.trapezoid(np.abs(1 - y), x))
