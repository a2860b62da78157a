"""A sentence on one line with arcs above it: who looks at whom, the thicker the more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderableType
from rich.style import Style

from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import label, width
from llminspect.render.section import Drawn, remark

HEAVY_FROM, LIGHT_FROM = 0.5, 0.2
"""The weights from which an arc is heavy, and light; below it is dashed."""
_GAP = 2
"""Cells between two tokens."""
_LINES = {"heavy": "━┃┏┓", "light": "─│┌┐", "dashed": "╌╎┌┐"}
_POINT = "▼"
_KEY = f"━ {HEAVY_FROM} or more of the weight, ─ {LIGHT_FROM} or more, ╌ less; ▼ what is looked at"


@dataclass(frozen=True, slots=True)
class Arc:
    """One token that looks at another."""

    query: int
    key: int
    weight: float
    quiet: bool = False
    """It says little: drawn grey."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """An arc with its place on the page: the columns of its ends, and how high it is."""

    arc: Arc
    columns: tuple[int, int]
    level: int


def arcs(texts: Sequence[str], links: Sequence[Arc], notes: Sequence[str] = ()) -> Drawn:
    """The tokens with an arc from each query to its key; `notes` stand under the tokens.

    Where the line is longer than the page is wide, … stands for tokens that no arc reaches, and then the weakest arcs
    are left out: arcs over a broken line cannot be followed.
    """

    def draw(_: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        way = next((way for way in _ways(texts, links, notes) if _right_end(*way[:3]) <= options.max_width), None)
        if way is None:
            yield remark("There is no room for arcs here.") if links else ""
            return
        labels, shown, under, left_out = way
        starts, cells = _tokens(labels, shown, under)
        yield from _page(_placed(shown, starts, cells))
        yield Text(_line(labels, starts), theme.STRONG)
        if under:
            yield Text(_line(under, starts), theme.QUIET)
        quiet = (
            "; grey: token 0, a sink: the other tokens give it nearly as much"
            if any(link.quiet for link in shown)
            else ""
        )
        yield remark(f"{_KEY}{quiet}{left_out}", dict.fromkeys("━─╌▼", theme.BAR))

    return Drawn(draw)


def _ways(
    texts: Sequence[str], links: Sequence[Arc], notes: Sequence[str]
) -> Iterator[tuple[list[str], Sequence[Arc], Sequence[str], str]]:
    """Ever shorter lines: labels, arcs, notes, and what the key says of what is left out."""
    if links:
        yield list(map(label, texts)), links, notes, ""
    strongest = sorted(links, key=lambda link: -link.weight)
    for number in range(len(links), 0, -1):
        fewer = [link for link in links if link in strongest[:number]]
        only = f"; the {number} heaviest of {len(links)}" if number < len(links) else ""
        yield *_shortened(texts, fewer, notes), f"; … tokens without an arc{only}"


def _shortened(
    texts: Sequence[str], links: Sequence[Arc], notes: Sequence[str]
) -> tuple[list[str], list[Arc], Sequence[str]]:
    """The same with … for all tokens in a row that no arc reaches."""
    reached = {end for link in links for end in (link.query, link.key)}
    kept = [at for at in range(len(texts)) if at in reached or at == 0 or at - 1 in reached]
    place = {at: index for index, at in enumerate(kept)}
    labels = [label(texts[at]) if at in reached else "…" for at in kept]
    moved = [replace(link, query=place[link.query], key=place[link.key]) for link in links]
    return labels, moved, [notes[at] if at in reached else "" for at in kept] if notes else ()


def _right_end(labels: Sequence[str], links: Sequence[Arc], notes: Sequence[str]) -> int:
    starts, cells = _tokens(labels, links, notes)
    return starts[-1] + cells[-1]


def _tokens(labels: Sequence[str], links: Sequence[Arc], notes: Sequence[str]) -> tuple[list[int], list[int]]:
    """Where each token starts, and the cells that it takes: one for each arc that ends there, with room between."""
    starts, cells, column = [], [], 0
    for index, text in enumerate(labels):
        ends = sum(index in (link.query, link.key) for link in links)
        note = width(notes[index]) if notes else 0
        cells.append(max(width(text), note, 2 * ends - 1))
        starts.append(column)
        column += cells[-1] + _GAP
    return starts, cells


def _line(texts: Sequence[str], starts: Sequence[int]) -> str:
    line, at = "", 0
    for text, start in zip(texts, starts, strict=True):
        line += " " * (start - at) + text
        at = start + width(text)
    return line.rstrip()


def _placed(links: Sequence[Arc], starts: Sequence[int], cells: Sequence[int]) -> list[_Placed]:
    """The arcs with their columns and levels, short ones low; ends at one token stand side by side, so that none of
    two arcs that hold one another crosses the other."""
    column_of: dict[tuple[int, int], int] = {}
    for token in range(len(starts)):
        ends = [(link.key if link.query == token else link.query, at) for at, link in enumerate(links)]
        ends = [(other, at) for other, at in ends if token in (links[at].query, links[at].key)]
        first = starts[token] + (cells[token] - (2 * len(ends) - 1)) // 2
        for place, (_, at) in enumerate(sorted(ends, key=lambda end: (end[0] > token, -end[0], end[1]))):
            column_of[at, token] = first + 2 * place
    placed: list[_Placed] = []
    spans = {at: (column_of[at, link.query], column_of[at, link.key]) for at, link in enumerate(links)}
    for at in sorted(spans, key=lambda at: abs(spans[at][0] - spans[at][1])):
        low, high = sorted(spans[at])
        under = [entry.level for entry in placed if min(entry.columns) <= high and max(entry.columns) >= low]
        placed.append(_Placed(links[at], spans[at], max(under, default=0) + 1))
    return placed


def _page(placed: Sequence[_Placed]) -> Iterator[Text]:
    """The lines above the tokens, the highest arc first; of two that cross the heavier goes through."""
    top = max(entry.level for entry in placed)
    wide = max(max(entry.columns) for entry in placed) + 1
    page: list[list[tuple[str, Style]]] = [[(" ", theme.LINE)] * wide for _ in range(top + 1)]
    for entry in sorted(placed, key=lambda entry: (not entry.arc.quiet, entry.arc.weight)):
        across, down, left, right = tuple(_LINES[_kind(entry.arc.weight)])
        style = theme.LINE if entry.arc.quiet else theme.BAR
        low, high = sorted(entry.columns)
        row = top - entry.level
        for column in range(low + 1, high):
            page[row][column] = across, style
        page[row][low], page[row][high] = (left, style), (right, style)
        for column in (low, high):
            for below in range(row + 1, top + 1):
                page[below][column] = down, style
        page[top][entry.columns[1]] = _POINT, style
    for line in page:
        text = Text.assemble(*line)
        text.rstrip()
        yield text


def _kind(weight: float) -> str:
    return "heavy" if weight >= HEAVY_FROM else "light" if weight >= LIGHT_FROM else "dashed"
