"""Which edges of a circuit are drawn: whatever their number, each stands on a way from the embedding to the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.circuit import edges_of
from llminspect.commands.circuit.graph import node_of, rank_of, ways
from llminspect.core.edges import wired

if TYPE_CHECKING:
    from llminspect.analysis.circuit_result import CircuitEdge

GRAPH = wired([(3, True), (2, True), (3, True)])


def edges(seed: int) -> list[CircuitEdge]:
    chance = np.random.default_rng(seed)
    kept_RU = GRAPH.connected(GRAPH.possible_RU & (chance.random(GRAPH.possible_RU.shape) < 0.4))
    return edges_of(GRAPH, kept_RU, np.asarray(chance.normal(size=kept_RU.shape)))


@pytest.mark.parametrize("seed", range(12))
def test_each_group_completes_its_ways(seed: int) -> None:
    whole, columns = edges(seed), [node.name for node in GRAPH.writers]
    readers = GRAPH.readers()
    drawn_RU, count = np.zeros(GRAPH.possible_RU.shape, bool), 0
    strongest = {(edge["from"], edge["to"]): at for at, edge in enumerate(whole)}
    for group in ways(whole):
        for wire in group:
            letter = {"q": ".query", "k": ".key", "v": ".value", "▼": ""}[wire.port[0]]
            place = readers.index(wire.target + letter), columns.index(wire.source)
            assert not drawn_RU[place]
            drawn_RU[place] = True
            count += 1
        assert (GRAPH.connected(drawn_RU) == drawn_RU).all()
        first = (group[0].source, group[0].target)
        later = [at for (source, reader), at in strongest.items() if (source, node_of(reader)) == first]
        undrawn = [
            at
            for (source, reader), at in strongest.items()
            if not drawn_RU[readers.index(reader), columns.index(source)]
        ]
        assert min(later) <= min(undrawn, default=len(whole))
    assert count == len(whole) > 3


def test_ranks_go_down_with_the_pass() -> None:
    names = [node.name for node in GRAPH.nodes]
    ranks = rank_of(names)
    assert [ranks[name] for name in names] == sorted(ranks.values())
    for edge in edges(0):
        assert ranks[edge["from"]] < ranks[node_of(edge["to"])]
