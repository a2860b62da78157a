"""How `circuit` looks: what is kept, the graph layer by layer, its strongest edges, and what it is measured beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from llminspect.analysis.circuit_result import CircuitEdge, CircuitNode, CircuitPair, CircuitResult
from llminspect.commands.circuit.graph import rank_of, ways
from llminspect.core.numbers import count, fixed, largest_first, percent, several, signed
from llminspect.render.safe import natural, quoted, visible
from llminspect.render.section import page, remark, section
from llminspect.render.table import Cell, Column, table
from llminspect.render.wires import wires

SHOWN = 20
"""Edges, and pairs, that have a row."""
DRAWN = 30
"""Edges that are drawn at most: more lines cannot be told apart."""
NODES = 5
"""Nodes of a layer that are named."""


def render(result: CircuitResult) -> RenderableType:
    """The parts, one below the other."""
    return page(_parts(result))


def _parts(result: CircuitResult) -> Iterator[RenderableType]:
    yield _headline(result)
    yield _measures(result)
    if result.pairs is not None:
        yield _pairs(result.pairs)
    yield _graph(result)
    yield _layers(result)
    yield _edges(result)
    yield _methods(result)


def _headline(result: CircuitResult) -> RenderableType:
    if result.target is None or result.versus is None:
        title, texts = f"What tells the texts of {several(len(result.pairs or ()), 'pair')} apart", "texts"
        number_of = "mean of logit of target - logit of versus"
    else:
        target, versus = (quoted(token.text) for token in (result.target, result.versus))
        title, texts = f"Why {target} and not {versus}", "text"
        number_of = f"logit of {target} - logit of {versus}"
    ends = f"{number_of}: {signed(result.difference, 2)} after the clean {texts}, "
    ends += f"{signed(result.corrupt_difference, 2)} after the corrupt {'ones' if texts == 'texts' else 'one'}"
    return section(title, note=ends)


def _measures(result: CircuitResult) -> RenderableType:
    control = result.control
    rows: list[Sequence[Cell]] = [
        ["faithfulness", percent_of(result.faithfulness), "of the effect is there with these edges alone"],
        ["completeness", percent_of(result.completeness), "of it is lost where these edges alone are patched"],
        ["control", percent_of(control.mean), _control(result)],
    ]
    columns = [Column("measure", whole=True), Column("value", "right", whole=True), Column("what it is")]
    of = f"{several(len(result.edges), 'edge')} of {count(result.of_edges)}, {several(len(result.nodes), 'node')} of "
    return section(f"{of}{count(result.of_nodes)}", table(columns, rows))


def _pairs(pairs: Sequence[CircuitPair]) -> RenderableType:
    """Each pair with its own numbers."""
    rows: list[Sequence[Cell]] = [
        [
            "" if pair.clean is None else visible(pair.clean),
            *(visible(token.text, spaces=True) for token in (pair.target, pair.versus)),
            signed(pair.difference, 2), signed(pair.corrupt_difference, 2), percent_of(pair.faithfulness),
        ]
        for pair in pairs[:SHOWN]
    ]  # fmt: skip
    columns = [
        Column("clean text"), Column("target", whole=True), Column("versus", whole=True),
        Column("clean", "right", whole=True), Column("corrupt", "right", whole=True),
        Column("faithfulness", "right", whole=True),
    ]  # fmt: skip
    shares = [pair.faithfulness for pair in pairs]
    ends = f"faithfulness of single pairs: from {percent_of(min(shares))} to {percent_of(max(shares))}"
    more = f"; {several(len(pairs) - SHOWN, 'pair')} more" if len(pairs) > SHOWN else ""
    key = "clean, corrupt: logit of target - logit of versus after that text"
    return section("Pairs", table(columns, rows, note=f"{ends}{more}; {key}"))


def _control(result: CircuitResult) -> str:
    control = result.control
    ends = f"from {percent_of(control.low)} to {percent_of(control.high)}"
    return f"of it with as many random edges ({several(control.graphs, 'graph')}, {ends}; seed {control.seed})"


def _graph(result: CircuitResult) -> RenderableType:
    """The graph from the embedding down to the logits, its edges drawn."""
    names = [node.name for node in result.nodes]
    head = next((name for name in names if _part(name).startswith("head")), None)
    note = ""
    if head is not None:
        of = f"{_part(head)} of layer {head.partition('.')[0]}"
        note = f"{head}: {of}; q, k, v: a line goes into the query, the key, the value of a head"
    return section("The graph", wires(rank_of(names), list(ways(_ordered(result.edges))), DRAWN), note=note)


def _layers(result: CircuitResult) -> RenderableType:
    """The nodes of each layer, layer 0 on top, the largest score first."""
    layers: dict[str, list[CircuitNode]] = {}
    for node in result.nodes:
        layer = node.name.partition(".")[0]
        layers.setdefault(layer if layer == node.name else f"layer {layer}", []).append(node)
    rows: list[Sequence[Cell]] = []
    for layer, nodes in layers.items():
        shown = [nodes[at] for at in largest_first([abs(node.score) for node in nodes], decimals=2)[:NODES]]
        names = [f"{_part(node.name)} {signed(node.score, 2)}".strip() for node in shown]
        more = len(nodes) - len(shown)
        rows.append([layer, "   ".join(names) + (f"   and {more} more" if more else "")])
    columns = [Column("where", whole=True), Column("nodes, each with its score")]
    note = "score: about how many logits are lost if the node writes what it writes in the corrupt text"
    return section("Nodes", table(columns, rows, note=note))


def _part(name: str) -> str:
    """`head 3`, `feedforward`; of what is of no layer nothing."""
    _, _, part = name.partition(".")
    return f"head {part}" if part.isdigit() else part


def _ordered(edges: Sequence[CircuitEdge]) -> list[CircuitEdge]:
    """The largest scores first; of those that are shown alike in the order of their names."""
    named = sorted(edges, key=lambda edge: (natural(edge["from"]), natural(edge["to"])))
    return [named[at] for at in largest_first([abs(edge["score"]) for edge in named], decimals=2)]


def _edges(result: CircuitResult) -> RenderableType:
    shown = _ordered(result.edges)[:SHOWN]
    rows: list[Sequence[Cell]] = [[edge["from"], edge["to"], signed(edge["score"], 2)] for edge in shown]
    columns = [Column("from", whole=True), Column("to", whole=True), Column("score", "right", whole=True)]
    more = len(result.edges) - SHOWN
    note = "about how many logits are lost if this edge alone is patched"
    return section("Edges", table(columns, rows, note=f"{note}; {several(more, 'edge')} more" if more > 0 else note))


def _methods(result: CircuitResult) -> RenderableType:
    rows: list[Sequence[Cell]] = [
        [
            method.name + (f", {several(method.steps, 'step')}" if method.steps > 1 else ""),
            count(method.edges), fixed(method.cpr, 3), fixed(method.cmd, 3),
        ]
        for method in result.methods
    ]  # fmt: skip
    columns = [
        Column("scores by", whole=True), Column(f"edges for {percent(result.keep)}", "right", whole=True),
        Column("CPR", "right", whole=True), Column("CMD", "right", whole=True),
    ]  # fmt: skip
    note = (
        "EAP: edge attribution patching, IG: with integrated gradients; "
        "CPR: area under the curve of faithfulness over the share of edges, those with the highest scores first, the "
        "more the better; CMD: area between 1 and the curve with the largest scores of either sign first, best 0"
    )
    return section("Two methods", table(columns, rows), remark(note))


def percent_of(share: float) -> str:
    """A share that may lie below 0 or above 1."""
    return f"{fixed(100 * share, 1)}%"
