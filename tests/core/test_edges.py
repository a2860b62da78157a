"""The graph of a model: its edges, those on a way through it, random ones, and areas below curves."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.edges import areas, wired

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.core.edges import Wiring

GRAPHS = {
    "two layers": wired([(2, True), (2, True)]),
    "parallel": wired([(1, True), (2, True)], parallel=True),
    "attention alone": wired([(2, False), (1, False)]),
    "a layer without attention": wired([(1, True), (0, True), (2, True)]),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_reader_has_an_edge_from_all_that_was_written_before_it(name: str) -> None:
    graph = GRAPHS[name]
    readers, names = graph.readers(), [node.name for node in graph.writers]
    assert len(set(readers)) == len(readers) and names[0] == "embedding" and readers[-1] == "logits"
    for row, reader in enumerate(readers):
        for column, writer in enumerate(names):
            assert graph.possible_RU[row, column] == comes_before(writer, reader, name == "parallel")


def comes_before(writer: str, reader: str, parallel: bool) -> bool:
    """By their names: an earlier layer, or of the same one the heads before the feed-forward step."""
    if writer == "embedding" or reader == "logits":
        return True
    its_layer, layer = int(writer.split(".")[0]), int(reader.split(".")[0])
    same = "feedforward" in reader and "feedforward" not in writer and not parallel
    return its_layer < layer or (its_layer == layer and same)


@pytest.mark.parametrize("name", GRAPHS)
def test_edges_on_a_way_are_those_that_walking_finds(name: str) -> None:
    graph, chance = GRAPHS[name], np.random.default_rng(3)
    sizes = set()
    for share in np.linspace(0.02, 0.5, 40):
        kept_RU = graph.possible_RU & (chance.random(graph.possible_RU.shape) < share)
        found_RU = graph.connected(kept_RU)
        assert (found_RU == walked(graph, kept_RU)).all()
        sizes.add(int(found_RU.sum()))
    assert len(sizes) > 3


def walked(graph: Wiring, kept_RU: Array) -> Array:
    """Every way from the embedding to the logits, edge by edge."""
    on_a_way = np.zeros_like(kept_RU)

    def walk(ways: list[tuple[int, int]], column: int) -> None:
        for row in np.flatnonzero(kept_RU[:, column]):
            node = graph.nodes[graph.owner_R[row]]
            longer = [*ways, (int(row), column)]
            if node.writes is None:
                for edge in longer:
                    on_a_way[edge] = True
            else:
                walk(longer, node.writes)

    walk([], 0)
    return on_a_way


@pytest.mark.parametrize("name", GRAPHS)
def test_random_graphs_have_as_many_edges_all_on_ways(name: str) -> None:
    graph, most = GRAPHS[name], int(GRAPHS[name].possible_RU.sum())
    longest = len(graph.nodes)
    drawn = [graph.random(5, np.random.default_rng(seed)) for seed in range(40)]
    for kept_RU in drawn:
        assert 5 <= kept_RU.sum() < 5 + longest
        assert not (kept_RU & ~graph.possible_RU).any() and (graph.connected(kept_RU) == kept_RU).all()
    assert (np.any(drawn, axis=0) == graph.possible_RU).mean() > 0.9
    assert (graph.random(most, np.random.default_rng(0)) == graph.possible_RU).all()
    assert (graph.random(5, np.random.default_rng(1)) == drawn[1]).all()


def test_the_strongest_edges_come_first() -> None:
    graph = GRAPHS["two layers"]
    score_RU = np.where(graph.possible_RU, np.random.default_rng(2).normal(size=graph.possible_RU.shape), 99.0)
    in_order = [score_RU.flat[place] for place in graph.order(score_RU)]
    assert len(in_order) == graph.possible_RU.sum() and all(first >= second for first, second in pairwise(in_order))
    kept_RU = graph.strongest(score_RU, 4)
    assert sorted(score_RU[kept_RU], reverse=True) == in_order[:4]
    touched = {node.name for node in graph.touched(kept_RU)}
    rows, columns = np.nonzero(kept_RU)
    ends = {graph.readers()[row].removesuffix(".query").removesuffix(".key").removesuffix(".value") for row in rows}
    assert touched == ends | {graph.writers[column].name for column in columns}


def test_areas_are_those_of_the_trapezoids() -> None:
    below, between = areas([0.0, 0.5, 1.0], [0.0, 1.5, 1.0])
    assert below == pytest.approx(0.5 * 0.75 + 0.5 * 1.25)
    assert between == pytest.approx(0.5 * 0.75 + 0.5 * 0.25)


@pytest.mark.parametrize(
    ("layers", "heads", "edges"), [(12, 12, 32_491), (24, 14, 179_749), (26, 8, 74_218), (32, 32, 1_592_881)]
)
def test_a_graph_has_as_many_edges_as_the_benchmark_counts(layers: int, heads: int, edges: int) -> None:
    """GPT-2, Qwen 2.5 0.5B, Gemma 2 2B and Llama 3.1 8B: EDGE_COUNTS of hannamw/MIB-circuit-track, evaluation.py."""
    assert int(wired([(heads, True)] * layers).possible_RU.sum()) == edges
