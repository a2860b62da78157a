"""How `attend` looks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from llminspect.analysis.attention import PARTS
from llminspect.commands.attend.answers import contributed, found, rolled_out
from llminspect.commands.attend.cross import cross_attention
from llminspect.commands.attend.query import query_by_hand_view
from llminspect.core.numbers import count, number
from llminspect.render.heatmap import head_map, heatmap
from llminspect.render.safe import label
from llminspect.render.section import beside, page, section
from llminspect.render.table import Column, table
from llminspect.render.theme import QUIET, TITLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from llminspect.analysis.attend import AttendResult
    from llminspect.analysis.attention import Head
    from llminspect.analysis.cross_attention import EncoderAttention
    from llminspect.analysis.documents import Tokens
    from llminspect.analysis.overview import Overview
    from llminspect.core.array import Array

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
    "next": "looks at the token behind",
    "self": "looks at its own token",
    "same": "looks at the same token before",
    "induction": "looks at what followed its token before",
    "diffuse": "spreads its weight",
    "mixed": "no habit takes half of its weight",
}
_EACH = 4
"""Up to so many heads are drawn one by one; of more there is a table."""
_ROWS = 40


def rendering(result: AttendResult) -> RenderableType:
    """The parts that were asked for, a blank line between two."""
    return page(parts(result))


def parts(result: AttendResult) -> Iterator[RenderableType]:
    labels = [token["text"] for token in result.tokens]
    if result.overview is not None:
        yield from _overview(result, result.overview)
    if result.query is not None:
        yield from query_by_hand_view(result, result.query, labels)
    if result.find is not None:
        yield from found(result, result.find)
    if result.rollout is not None:
        yield from rolled_out(result.rollout, labels, result.causal)
    if result.contributions is not None:
        yield from contributed(result.contributions)
    if result.mean is not None:
        yield _weights(result.mean, labels, result.causal, "The mean of the heads")
        yield _reading(result.mean)
    asked = [result.query, result.find, result.rollout, result.contributions, result.mean]
    if result.selected and all(part is None for part in asked):
        yield from _heads(result, labels)
    if result.cross is not None and result.encoder is not None and result.source is not None:
        yield from cross_attention(result, result.cross, [token["text"] for token in result.source])
        if result.selected:
            yield Text("The encoder: who looks at whom in the source", TITLE)
        yield from parts(_of_encoder(result, result.encoder, result.source))


def _of_encoder(result: AttendResult, encoder: EncoderAttention, source: Tokens) -> AttendResult:
    """The encoder's attention, as if it were all there is."""
    return replace(
        result,
        part="encoder",
        tokens=source,
        n_layers=encoder.n_layers,
        n_heads=encoder.n_heads,
        n_kv_heads=encoder.n_heads,
        causal=False,
        heads=encoder.heads,
        overview=encoder.overview,
        cross=None,
        encoder=None,
    )


def _overview(result: AttendResult, overview: Overview) -> Iterator[RenderableType]:
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


def _heads(result: AttendResult, labels: list[str]) -> Iterator[RenderableType]:
    if len(result.heads) > _EACH:
        yield _table(result)
        return
    for head in result.heads:
        for shown in result.shown or ["weights"]:
            yield _shown(result, head, shown, labels)
        measured = " · ".join(f"{name} {number(value, 2)}" for name, value in head.measures.items() if value == value)
        yield Text(f"{head.habit}: {MEANINGS[head.habit]}.  {measured}", QUIET)
    if "weights" in (result.shown or ["weights"]):
        yield _reading(*(head.weights for head in result.heads))


def _shown(result: AttendResult, head: Head, shown: str, labels: list[str]) -> RenderableType:
    shared = "" if result.n_kv_heads == result.n_heads else f" (key/value head {head.kv_head})"
    title = f"Layer {head.layer} · head {head.head}{shared} · {_named(shown)}"
    values = getattr(head, shown)
    if values is None:
        return section(title, Text("this model has no such step", QUIET))
    if shown in PARTS:
        return heatmap(
            values,
            labels,
            title=title,
            scale="diverging",
            limits="robust",
            fold="extreme",
            row_name="tokens",
            column_name="dimensions of the head",
            value_name=shown,
        )
    if shown in ("weights", "added"):
        return _weights(values, labels, result.causal, title, shown, head.window)
    return heatmap(
        values,
        labels,
        labels,
        title=title,
        scale="diverging",
        row_name="queries",
        column_name="keys",
        value_name=shown,
    )


def _named(shown: str) -> str:
    return {
        "weights": "weights",
        "scores": "scores, query · key",
        "scaled": "scores times the scale",
        "capped": "scores behind the soft cap",
        "masked": "scores behind the mask",
        "added": "what is added: ‖weight · value · W‖",
    }.get(shown, shown)


def _weights(
    weights_TS: Array, labels: list[str], causal: bool, title: str, name: str = "weights", window: int | None = None
) -> RenderableType:
    shown_TS = np.array(weights_TS, float)
    if causal:
        shown_TS[np.triu_indices(len(shown_TS), 1)] = np.nan
    if window is not None:
        shown_TS[np.tril_indices(len(shown_TS), -window)] = np.nan
    return heatmap(
        shown_TS,
        labels,
        labels,
        title=title,
        limits=(0, 1) if name == "weights" else None,
        fold="max",
        row_name="queries",
        column_name="keys",
        value_name="weight" if name == "weights" else "length",
        masked="comes later, hidden" if window is None else f"comes later, or {window} or more before: hidden",
    )


def _reading(*weights: Array) -> RenderableType:
    kept = min(float(np.asarray(weights_TS, float).sum(axis=1).min()) for weights_TS in weights)
    if kept > 1 - 1e-3:
        rest = "a row sums to 1. Much weight on token 0 usually means that the head found nothing to look for."
    else:
        rest = "what a row lacks to 1 goes to the head's own sink, to no token: the head found nothing to look for."
    return Text(
        f"Each row is a token that looks (query), each column one that is looked at (key); {rest}",
        QUIET,
    )


def _table(result: AttendResult) -> RenderableType:
    names = [
        name for name in result.heads[0].measures if any(np.isfinite(head.measures[name]) for head in result.heads)
    ]
    rows = [
        [f"{head.layer}.{head.head}", head.habit, *(_or_none(head.measures[name]) for name in names)]
        for head in result.heads[:_ROWS]
    ]
    left = len(result.heads) - len(rows)
    more = f"and {count(left)} heads more: --json has them all. " if left else ""
    return section(
        f"{count(len(result.heads))} heads",
        table(["head", "habit", *(Column(name, digits=2) for name in names)], rows),
        note=f"{more}head: layer.head. One of them as a picture: --layer L --head H; the mean of all of them: --mean",
    )


def _or_none(value: float) -> float | None:
    return value if value == value else None


def token_name(labels: list[str], index: int) -> str:
    """A token as it is spoken of: its text and its index."""
    return f"{label(labels[index])} (token {index})"
