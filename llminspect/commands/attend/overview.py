"""How the overview of `attend` looks: every head coloured by a measure, and named by what it does on this text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from llminspect.core.numbers import count
from llminspect.render.heatmap import head_map
from llminspect.render.section import beside, page
from llminspect.render.table import Column, table
from llminspect.render.theme import QUIET, TITLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.attention import Overview

MARKS = {
    "sink": "S",
    "previous": "P",
    "next": "N",
    "self": "O",
    "same": "=",
    "induction": "»",
    "diffuse": "~",
    "mixed": "",
}
MEANINGS = {
    "sink": "rests on token 0: it finds nothing to look for",
    "previous": "looks at the token before",
    "next": "looks at the next token",
    "self": "looks at its own token",
    "same": "looks at the same token before",
    "induction": "looks at what followed its token before",
    "diffuse": "spreads its weight",
    "mixed": "no habit takes half of its weight",
}


def overview_parts(result: AttendResult, overview: Overview) -> Iterator[RenderableType]:
    layers, heads = result.n_layers, result.n_heads
    line = Text.assemble(("Who looks at whom" + _among(result), TITLE))
    grouped = "" if result.n_kv_heads == heads else f", {result.n_kv_heads} for keys and values"
    sizes = f"{count(layers * heads)} heads ({layers} layers × {heads} heads{grouped})"
    line.append(f"  {sizes} on {count(len(result.tokens))} tokens", QUIET)
    yield line
    values_LH = np.asarray(overview.measures[overview.measure], float)
    marks = [[MARKS[name] for name in row] for row in overview.habits]
    heads_map = head_map(
        values_LH,
        value_name=overview.measure,
        limits=None if overview.measure == "distance" else (0, 1),
        marks=marks,
        max_rows=64,
    )
    defined = Text(f"{overview.measure}: {overview.definitions[overview.measure]}", QUIET)
    yield beside(heads_map, page([_habits(overview), defined, _one_of_them(overview)]))


def _among(result: AttendResult) -> str:
    """Of an encoder–decoder: whose attention it is."""
    if result.part is None:
        return ""
    return ", in the decoder: the target so far" if result.part == "decoder" else ", in the encoder: the source"


def _one_of_them(overview: Overview) -> RenderableType:
    layer, head = _example(overview)
    return Text(
        f"A head is one of several attentions that run side by side in a layer; {layer}.{head} is head {head} of "
        f"layer {layer}. To see what it looks at: --layer {layer} --head {head}",
        QUIET,
    )


def _habits(overview: Overview) -> RenderableType:
    counts = Counter(name for row in overview.habits for name in row)
    rows: list[list[str | int]] = []
    for name, mark in MARKS.items():
        if not counts[name]:
            continue
        layer, head, value = _strongest(overview, name)
        strongest = "" if value is None else f"{layer}.{head} ({value:.2f})"
        rows.append([mark, name, counts[name], strongest, MEANINGS[name]])
    columns: list[str | Column] = ["", "habit", "heads", "strongest", Column("on this text it", quiet=True)]
    return table(columns, rows)


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


def _example(overview: Overview) -> tuple[int, int]:
    """A head worth looking at: of the habit that is furthest from resting on token 0 the strongest."""
    there = {name for row in overview.habits for name in row}
    order = ("induction", "same", "previous", "self", "next", "mixed", "diffuse", "sink")
    return _strongest(overview, next(name for name in order if name in there))[:2]
