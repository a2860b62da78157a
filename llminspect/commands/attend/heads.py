"""How what `attend` says of many heads looks: the overview, --rollout, --contributions, layers with a state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import RenderableType

from llminspect.analysis.result import shown_text
from llminspect.core.numbers import count, fixed, largest_first, percent, ranges, several
from llminspect.render.bars import signed_bars
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.prose import Text
from llminspect.render.safe import label, quoted
from llminspect.render.section import beside, headed, page, remark, section
from llminspect.render.table import Cell, Column, Columns, table
from llminspect.render.theme import QUIET, WARNING

if TYPE_CHECKING:
    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.attention import Link, Overview
    from llminspect.analysis.attribution import Contributions
    from llminspect.analysis.states import StateLayer
    from llminspect.core.array import Array

_LINKS = 5
"""So many links are drawn: more arcs cannot be told apart."""
_ALL = 0.95
"""Where token 0 has so much of every position, rollout tells nothing else."""
MARKS = {
    "sink": "S",
    "previous": "P",
    "next": "N",
    "self": "O",
    "same": "=",
    "induction": "»",
    "diffuse": "~",
    "mixed": "",
    "none": "",
}
MEANINGS = {
    "sink": "rests on token 0: it finds nothing to look for",
    "previous": "looks at the token before",
    "next": "looks at the next token",
    "self": "looks at its own token",
    "same": "looks at earlier places of the same token",
    "induction": "looks at what came after an earlier place of its token",
    "diffuse": "spreads its weight",
    "mixed": "no habit takes half of its weight",
}


HEAD = (
    "A head is one of several attentions that run side by side in a layer. In each head, every token shares out a "
    "weight of 1 over the tokens it may see: what it looks at."
)


def overview_parts(result: AttendResult, overview: Overview) -> Iterator[RenderableType]:
    layers, heads = result.n_layers, result.n_heads
    grouped = "" if result.n_kv_heads == heads else f", {result.n_kv_heads} for keys and values"
    attending = layers if result.attention_layers is None else len(result.attention_layers)
    sizes = f"{several(attending * heads, 'head')} ({several(attending, 'layer')} × {several(heads, 'head')}{grouped})"
    yield headed("Who looks at whom" + among(result), f"{sizes} on {several(len(result.tokens), 'token')}")
    yield remark(HEAD)
    if overview.links is not None:
        yield _links(overview.links, [shown_text(token) for token in result.tokens])
    values_LH = np.asarray(overview.measures[overview.measure], float)
    marks = [[MARKS[name] for name in row] for row in overview.habits]
    heads_map = head_map(
        values_LH,
        value_name=overview.measure,
        limits=None if overview.measure == "distance" else (0, 1),
        marks=marks,
        max_rows=64,
        masked="no attention",
    )
    defined = Text(f"{overview.measure}: {overview.definitions[overview.measure]}", QUIET)
    yield beside(heads_map, page([_habits(overview), defined, _one_of_them(overview)]))


def among(result: AttendResult) -> str:
    """Of an encoder–decoder: whose attention it is."""
    if result.part is None:
        return ""
    return ", in the decoder: the target so far" if result.part == "decoder" else ", in the encoder: the source"


def _one_of_them(overview: Overview) -> RenderableType:
    """A head worth looking at: of the habit that is furthest from resting on token 0 the strongest."""
    there = {name for row in overview.habits for name in row}
    order = ("induction", "same", "previous", "self", "next", "mixed", "diffuse", "sink")
    layer, head, _ = _strongest(overview, next(name for name in order if name in there))
    return remark(
        f"{layer}.{head} is head {head} of layer {layer}. To see what it looks at: --layer {layer} --head {head}"
    )


def _links(links: Sequence[Link], texts: Sequence[str]) -> RenderableType:
    """The sentence with arcs for the strongest links, and the same as a table with the head of each."""
    if not links:
        return remark("No token looks at another much more than is usual: the heads only follow their habits.")
    from llminspect.render.arcs import Arc, arcs

    def name(index: int) -> str:
        return label(texts[index]) + (f" ({index})" if texts.count(texts[index]) > 1 else "")

    drawn = links[:_LINKS]
    rows: list[list[Cell]] = [
        [name(link.query), name(link.key), f"{link.layer}.{link.head}", link.weight, link.usual] for link in drawn
    ]
    columns: Columns = ["token", "looks at", Column("head", "right"), Column("weight", digits=2)]
    more = f"; {len(links) - len(drawn)} more are in --json" if len(links) > len(drawn) else ""
    note = (
        "usual: the weight to expect anyway, because other tokens give as much to the same token, or to the token at "
        f"the same distance from them. Token 0, where heads rest, and a token's look at itself are left out{more}."
    )
    sentence = arcs(texts, [Arc(link.query, link.key, link.weight) for link in drawn])
    made = table([*columns, Column("usual", digits=2, quiet=True)], rows)
    return section("Which links are least usual", sentence, Text(), made, note=note)


def _habits(overview: Overview) -> RenderableType:
    counts = Counter(name for row in overview.habits for name in row)
    rows: list[list[str | int]] = []
    for name, mark in MARKS.items():
        if not counts[name] or name == "none":
            continue
        layer, head, value = _strongest(overview, name)
        strongest = "" if value is None else f"{layer}.{head} ({fixed(value, 2)})"
        rows.append([mark, name, counts[name], strongest, MEANINGS[name]])
    columns: list[str | Column] = ["", "habit", "heads", "strongest", Column("on this text it", quiet=True)]
    note = "strongest: layer.head of the one that does it most, and its mean weight there; of diffuse its mean entropy"
    return table(columns, rows, note=note)


def _strongest(overview: Overview, habit: str) -> tuple[int, int, float | None]:
    """Of the heads of a habit the one that has most of it, and how much; of mixed ones, which have none, the first."""
    places = [(layer, head) for layer, row in enumerate(overview.habits) for head in range(len(row))]
    of_it = [(layer, head) for layer, head in places if overview.habits[layer][head] == habit]
    if habit == "mixed":
        return *of_it[0], None
    measured = {str(measure): values for measure, values in overview.measures.items()}
    values_LH = measured["entropy" if habit == "diffuse" else habit]
    layer, head = max(of_it, key=lambda place: float(values_LH[place]))
    return layer, head, float(values_LH[layer, head])


def rollout_parts(rollout_TS: Array, labels: list[str], causal: bool) -> Iterator[RenderableType]:
    """How much of each input token is in each position after the last layer."""
    shown_TS = np.array(rollout_TS, float)
    if causal:
        shown_TS[np.triu_indices(len(shown_TS), 1)] = np.nan
    least = float(shown_TS[:, 0].min())
    if len(labels) > 1 and least >= _ALL:
        yield Text(
            f"Here at least {percent(least).removeprefix('>')} of every position come from token 0, where heads rest "
            "that find nothing to look for (the attention sink): on this text rollout says nothing about the other "
            "tokens.",
            WARNING,
        )
    yield heatmap(
        shown_TS,
        labels,
        labels,
        title="Attention rollout: attention followed from the last layer down to the input",
        limits=(0, 1),
        fold="max",
        row_name="positions after the last layer",
        column_name="input tokens",
        value_name="share",
        masked="comes later, hidden",
    )
    yield Text(
        "In each layer: half the mean of the heads, half the token itself (the residual connection); the layers "
        "multiplied (Abnar and Zuidema 2020). It follows attention only: where heads rest on token 0, so does it.",
        QUIET,
    )


def contribution_parts(parts: Contributions) -> Iterator[RenderableType]:
    """What wrote how much of a token's final stream."""
    heads_LH = np.asarray(parts.heads, float)
    title = f"What wrote the final stream of {quoted(parts.text)} (token {parts.index})"
    yield headed(title, "each part's length along it; all parts sum to 100%")
    groups = {
        "embedding": parts.embedding,
        "attention": float(heads_LH.sum() + np.sum(parts.attention_bias)),
        "feed forward": float(np.sum(parts.feedforward)),
    }
    if parts.state is not None:
        groups["states"] = float(np.sum(parts.state))
    yield signed_bars(list(groups), list(groups.values()), numbers=[percent(value) for value in groups.values()])
    if not heads_LH.size:
        return
    yield head_map(heads_LH, scale="diverging", value_name="share", title="The heads", limits="robust", numbers=False)
    # A layer without attention has heads of nought.
    order = largest_first(np.abs(heads_LH).ravel().tolist(), decimals=3)[: min(10, int(np.count_nonzero(heads_LH)))]
    places = [tuple(map(int, np.unravel_index(index, heads_LH.shape))) for index in order]
    values = [float(heads_LH[place]) for place in places]
    yield signed_bars(
        [f"layer {layer} · head {head}" for layer, head in places],
        values,
        numbers=[percent(value) for value in values],
        title="The heads that wrote most",
    )
    frozen = " The norm after the attention is held at the scale it had." if parts.scales_frozen else ""
    yield Text(f"Below 0%: it writes against the direction of the final stream.{frozen}", QUIET)


EXACT = (
    "Effective weights: how much of each earlier token's value (column) is in what a token (row) reads from the state. "
    "They are exact, since what is read is a sum of values; they may be below 0, and a row does not sum to 1. They are "
    "no attention: no token chooses what it looks at, the state keeps or forgets."
)


def state_parts(result: AttendResult, states: Sequence[StateLayer], labels: list[str]) -> Iterator[RenderableType]:
    """A line a layer, or where layers were chosen a picture of each."""
    chosen = [state for state in states if state.weights is not None]
    for state in chosen:
        yield _picture(state, labels)
    if chosen:
        yield Text(EXACT, QUIET)
        return
    attending = result.attention_layers or []
    beside = (
        f"attention is in layer{'s' * (len(attending) > 1)} {ranges(attending)}" if attending else "no layer has any"
    )
    rows: list[list[Cell]] = [
        [state.layer, state.kind, several(state.heads, state.each), percent(state.on_itself), state.distance]
        for state in states
    ]
    columns: Columns = [
        "layer",
        Column("keeps a state by", quiet=True),
        Column("in", "right"),
        "on itself",
        Column("reaches back", digits=2),
    ]
    note = (
        "on itself: the share of the effective weights, by size, that is on the token itself; reaches back: their mean "
        f"distance in tokens. The weights of one: --layer {states[0].layer}"
    )
    stands = "beside" if {state.layer for state in states} <= set(attending) else "instead of"
    yield section(f"Layers with a state {stands} attention ({beside})", table(columns, rows), note=note)


def _picture(state: StateLayer, labels: list[str]) -> RenderableType:
    shown_TS = np.array(state.weights, float)
    shown_TS[np.triu_indices(len(shown_TS), 1)] = np.nan
    one = state.head is not None
    of_what = f"{state.each} {state.head}" if one else f"mean size over {count(state.heads)} {state.each}s"
    return heatmap(
        shown_TS,
        labels,
        labels,
        title=f"Layer {state.layer} · {state.kind} · effective weights, {of_what}",
        scale="diverging" if one else "sequential",
        fold="extreme" if one else "max",
        row_name="tokens",
        column_name="earlier tokens",
        value_name="weight" if one else "size",
        masked="comes later",
    )
