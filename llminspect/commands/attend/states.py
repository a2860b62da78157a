"""How the layers with a state look: what they keep at a glance, or the effective weights of those that were chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from llminspect.core.numbers import count, percent, ranges, several
from llminspect.render.heatmap import heatmap
from llminspect.render.section import section
from llminspect.render.table import Cell, Column, Columns, table
from llminspect.render.theme import QUIET

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.states import StateLayer

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
