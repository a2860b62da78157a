"""What the interactive page of a circuit shows besides: more edges, every graph that was measured, and attention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llminspect.analysis.circuit_result import CircuitEdge, CircuitPage, CircuitResult, HeadWeights, MeasuredSize
from llminspect.analysis.circuit_search import Graphs
from llminspect.core.array import Array
from llminspect.core.tap import Capture
from llminspect.model.opened import Model

EDGES = 2000
"""Edges of a page at most."""
WEIGHTS = 150_000
"""Attention weights of a page at most."""


def with_page(result: CircuitResult, graphs: Graphs, size: int, model: Model, ids: list[int] | None) -> CircuitResult:
    """The result, which is the graph of `size` edges, with its page. `ids` are those of the clean text; None: of many
    texts no attention is shown."""
    assert result.scores is not None
    wiring = graphs.contrasts.wiring
    readers, writers = wiring.readers(), wiring.writers
    edges: list[CircuitEdge] = []
    for place in graphs.order[:EDGES]:
        row, column = divmod(int(place), result.scores.shape[1])
        score = float(result.scores[row, column])
        edges.append({"from": writers[column].name, "to": readers[row], "score": score})
    sizes = [MeasuredSize(count, graphs.measured[count]) for count in sorted(graphs.measured)]
    found = sorted(graphs.measured).index(size)
    heads = [] if ids is None else looks(model, ids, [edge["from"] for edge in edges])
    return replace(result, page=CircuitPage(edges, sizes, found, heads))


def looks(model: Model, ids: list[int], names: list[str]) -> list[HeadWeights]:
    """The attention weights of these heads, as many as a page has room for."""
    heads = [name for name in dict.fromkeys(names) if name.rpartition(".")[2].isdecimal()]
    heads = heads[: WEIGHTS // (len(ids) * (len(ids) + 1) // 2)]
    layers = sorted({int(name.partition(".")[0]) for name in heads})
    if not heads:
        return []
    kept = Capture(*(f"layers.{layer}.attention.weights" for layer in layers))
    model.run(ids, kept)
    found = []
    for name in heads:
        layer, _, head = name.partition(".")
        weights_TS: Array = np.asarray(kept[f"layers.{layer}.attention.weights"])[int(head)]
        rows = [[round(float(weight), 4) for weight in row[: at + 1]] for at, row in enumerate(weights_TS)]
        found.append(HeadWeights(name, rows))
    return found
