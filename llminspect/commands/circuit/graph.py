"""Which edges of a circuit are drawn, and where its nodes stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llminspect.analysis.circuit_result import CircuitEdge
from llminspect.render.wires import Wire

PORTS = {"query": ("q", -1), "key": ("k", 0), "value": ("v", 1)}


def node_of(reader: str) -> str:
    """`3.2` of `3.2.key`."""
    name, _, part = reader.rpartition(".")
    return name if part in PORTS else reader


def rank_of(names: Sequence[str]) -> dict[str, int]:
    """How far down each node stands: of a layer the heads, then its feed-forward step.

    >>> rank_of(["embedding", "0.1", "0.feedforward", "2.0", "logits"])
    {'embedding': 0, '0.1': 1, '0.feedforward': 2, '2.0': 5, 'logits': 7}
    """
    ranks = {"embedding": 0}
    for name in names:
        layer, _, part = name.partition(".")
        if part:
            ranks[name] = 1 + 2 * int(layer) + (part == "feedforward")
    return {**ranks, "logits": max(ranks.values()) + 2}


def ways(edges: Sequence[CircuitEdge]) -> Iterator[list[Wire]]:
    """All edges in groups, the strongest first: with each edge come those that join it to the embedding and to the
    logits, into each node the strongest that leads there. So whatever number of groups is drawn, every edge drawn
    stands on a way from one to the other."""
    into: dict[str, CircuitEdge] = {}
    out: dict[str, CircuitEdge] = {}
    for edge in edges:
        into.setdefault(node_of(edge["to"]), edge)
        out.setdefault(edge["from"], edge)
    drawn: set[tuple[str, str]] = set()
    fed, used = {"embedding"}, {"logits"}
    for edge in edges:
        group = [edge]
        while (node := group[-1]["from"]) not in fed:
            group.append(into[node])
            fed.add(node)
        fed.add(node_of(edge["to"]))
        last = edge
        while (node := node_of(last["to"])) not in used:
            last = out[node]
            group.append(last)
            used.add(node)
            fed.add(node_of(last["to"]))
        used.update(each["from"] for each in group)
        new = [each for each in group if (each["from"], each["to"]) not in drawn]
        drawn.update((each["from"], each["to"]) for each in new)
        if new:
            yield [_wire(each) for each in new]


def _wire(edge: CircuitEdge) -> Wire:
    reader = edge["to"]
    return Wire(edge["from"], node_of(reader), edge["score"], PORTS.get(reader.rpartition(".")[2], ("▼", 0)))
