"""A layered graph with its edges drawn: on a terminal as lines of dots, in a picture as curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style

from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import count, fixed, several, signed
from llminspect.render import theme
from llminspect.render.cells import Curve, PictureConsole
from llminspect.render.layered import arranged
from llminspect.render.plot import Canvas
from llminspect.render.prose import Text
from llminspect.render.safe import natural, visible, width
from llminspect.render.section import Drawn, remark
from llminspect.render.table import Entries

WIDEST = 120
PITCH = 4
"""Rows from one rank to the next: the names, two of lines, and where the lines arrive."""
HEAVY, LIGHT = 0.5, 0.2
"""Of the largest value: from there a line is three dots thick, and two."""
THICKEST, THINNEST = 0.6, 0.12
"""Of a curve in a picture, in the width of a cell."""
_SIGNS = (
    (frozenset([True]), "####", "above 0", theme.POSITIVE),
    (frozenset([False]), "# #", "below 0", theme.NEGATIVE),
    (frozenset([True, False]), "####", "both in one line", theme.LINE),
)
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True)
class Wire:
    """From one node to another; it arrives at a port of that: a letter and how many cells from the middle."""

    source: str
    target: str
    value: float
    port: tuple[str, int] = ("▼", 0)


class _Stretch(NamedTuple):
    """A part of a line, from one rank towards the next; `value` is the largest that runs there, `signs` of which."""

    x: float
    y: float
    to_x: float
    to_y: float
    value: float
    signs: frozenset[bool]
    title: str

    @property
    def style(self) -> Style:
        return theme.LINE if len(self.signs) > 1 else theme.POSITIVE if True in self.signs else theme.NEGATIVE

    @property
    def dashed(self) -> bool:
        return self.signs == {False}


def wires(ranks: Mapping[str, int], groups: Sequence[Sequence[Wire]], most: int) -> Drawn:
    """The edges of the first groups, at most `most` and as many as there is room for, between their nodes; `ranks` say
    how far down each node stands. Lines of one source run together until they part. What is left out is said."""

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        columns = min(options.max_width, WIDEST)
        sizes = list(accumulate(len(group) for group in groups))
        for groups_shown in range(sum(size <= most for size in sizes), 0, -1):
            shown = [wire for group in groups[:groups_shown] for wire in group]
            ends = {name for wire in shown for name in (wire.source, wire.target)}
            names = sorted(ends, key=lambda name: (ranks[name], natural(name)))
            graph = _arranged(names, ranks, shown, columns)
            if graph is None:
                continue
            yield from (_curves if isinstance(console, PictureConsole) else _dots)(graph, names, shown)
            line = "━" if isinstance(console, PictureConsole) else "⠶"
            yield from _below(sizes, shown, graph, len(ranks), line)
            return
        yield remark("There is no room to draw the graph here.")

    return Drawn(draw, least=20)


class _Graph(NamedTuple):
    """Where the names stand, and the pieces of all lines."""

    columns: int
    row: dict[str, int]
    middle: dict[str, float]
    pieces: list[_Stretch]

    @property
    def rows(self) -> int:
        return max(self.row.values()) + 1


def _arranged(names: list[str], ranks: Mapping[str, int], shown: Sequence[Wire], columns: int) -> _Graph | None:
    used = {rank: at for at, rank in enumerate(sorted({ranks[name] for name in names}))}
    number, rank_of = {name: at for at, name in enumerate(names)}, [used[ranks[name]] for name in names]
    ends = list(dict.fromkeys((number[wire.source], number[wire.target]) for wire in shown))
    found = arranged(rank_of, [width(visible(name)) for name in names], ends, columns)
    if found is None:
        return None
    places = _on_cells(found, {(rank, at): width(visible(names[at])) for at, rank in enumerate(rank_of)})
    pieces: list[_Stretch] = []
    for source, name in enumerate(names):
        of_it = [(wire, rank_of[number[wire.target]]) for wire in shown if wire.source == name]
        for rank in range(rank_of[source] + 1, max((to for _, to in of_it), default=0)):
            on = [wire for wire, to in of_it if to > rank]
            x, to_x, y = places[rank - 1, source], places[rank, source], PITCH * rank
            signs, largest = frozenset(wire.value >= 0 for wire in on), max(abs(wire.value) for wire in on)
            pieces.append(_Stretch(x, y - PITCH + 1, to_x, y - 1, largest, signs, name))
            pieces.append(_Stretch(to_x, y - 1, to_x, y + 1, largest, signs, name))
        for wire, to in of_it:
            x, end = places[to - 1, source], _port(places[to, number[wire.target]], wire)
            title = (
                f"{name} → {wire.target}{' ' + wire.port[0] if wire.port[0].isalpha() else ''} {signed(wire.value, 2)}"
            )
            signs = frozenset([wire.value >= 0])
            pieces.append(_Stretch(x, PITCH * (to - 1) + 1, end, PITCH * to - 1, abs(wire.value), signs, title))
    row = {name: PITCH * rank for name, rank in zip(names, rank_of, strict=True)}
    middle = {name: places[rank, at] for at, (name, rank) in enumerate(zip(names, rank_of, strict=True))}
    return _Graph(columns, row, middle, sorted(pieces, key=lambda piece: piece.value))


def _on_cells(
    places: Mapping[tuple[int, int], float], widths: Mapping[tuple[int, int], int]
) -> dict[tuple[int, int], float]:
    """The same on whole cells, as far to the left as all can be."""
    starts = {spot: int(place - widths.get(spot, 1) / 2 + 1e-9) for spot, place in places.items()}
    first = min(starts.values())
    return {spot: start - first + widths.get(spot, 1) / 2 for spot, start in starts.items()}


def _port(middle: float, wire: Wire) -> float:
    return int(middle) + wire.port[1] + 0.5


def _lettered(canvas: Canvas, graph: _Graph, names: Sequence[str], shown: Sequence[Wire]) -> Iterator[Text]:
    """The lines of the canvas with the names, and the letters where lines arrive."""
    for name in names:
        canvas.write(int(graph.middle[name] - width(visible(name)) / 2), graph.row[name], visible(name), theme.STRONG)
    for wire in shown:
        at = min(max(int(_port(graph.middle[wire.target], wire)), 0), graph.columns - 1)
        canvas.write(at, graph.row[wire.target] - 1, wire.port[0], theme.QUIET)
    for line in canvas.lines():
        line.rstrip()
        yield line


def _dots(graph: _Graph, names: Sequence[str], shown: Sequence[Wire]) -> Iterator[Text]:
    """On a terminal: a cell has 2 × 4 dots; where lines meet in one, it has the colour of the strongest."""
    canvas = Canvas(graph.columns, graph.rows)
    largest = max((piece.value for piece in graph.pieces), default=1.0) or 1.0
    dots: dict[tuple[int, int], int] = {}
    looks: dict[tuple[int, int], Style] = {}
    for piece in graph.pieces:
        thick = 3 if piece.value >= HEAVY * largest else 2 if piece.value >= LIGHT * largest else 1
        for x, y in _dotted(piece):
            for column in range(x - thick // 2, x - thick // 2 + thick):
                cell = min(max(column // 2, 0), graph.columns - 1), y // 4
                dots[cell] = dots.get(cell, 0) | _BITS[y % 4][column % 2]
                looks[cell] = piece.style
    for (column, row), bits in dots.items():
        canvas.write(column, row, chr(0x2800 + bits), looks[column, row])
    yield from _lettered(canvas, graph, names, shown)


def _dotted(piece: _Stretch) -> Iterator[tuple[int, int]]:
    """The dots of a line one dot thick; of a dashed one every other two."""
    curve = Curve(piece.x, piece.y, piece.to_x, piece.to_y)
    steps = int(8 * (abs(piece.to_x - piece.x) + abs(piece.to_y - piece.y))) + 1
    for at, (x, y) in enumerate(dict.fromkeys((int(2 * x), int(4 * y)) for x, y in curve.points(steps))):
        if y < 4 * piece.to_y and not (piece.dashed and at // 2 % 2):
            yield x, y


def _curves(graph: _Graph, names: Sequence[str], shown: Sequence[Wire]) -> Iterator[RenderableType | Segment]:
    """In a picture: curves as thick as the values, below the letters."""
    largest = max((piece.value for piece in graph.pieces), default=1.0) or 1.0
    for piece in graph.pieces:
        thick = max(THINNEST, THICKEST * piece.value / largest)
        curve = Curve(piece.x, piece.y, piece.to_x, piece.to_y, thick, dashed=piece.dashed, title=visible(piece.title))
        yield Segment("", piece.style + Style(meta={"curve": curve}))
    yield from _lettered(Canvas(graph.columns, graph.rows), graph, names, shown)


def _below(
    sizes: list[int], shown: Sequence[Wire], graph: _Graph, of_nodes: int, line: str
) -> Iterator[RenderableType]:
    """The key of the lines that are in the graph, as they are there; and what is left out."""
    largest, nodes = max(abs(wire.value) for wire in shown), len(graph.row)
    seen = {piece.signs for piece in graph.pieces}
    signs = [
        Text.assemble((sign.replace("#", line), style), f" {name}") for of, sign, name, style in _SIGNS if of in seen
    ]
    yield Entries(
        [Text("the thicker a line, the larger its score:"), *signs, Text(f"the thickest: {fixed(largest, 2)}")]
    )
    left = sizes[-1] - len(shown)
    drawn = f"drawn: the strongest {several(len(shown), 'edge')} with what joins them, and {several(nodes, 'node')}"
    if left:
        missing = f"{several(left, 'edge')}, {count(of_nodes - nodes)} of {several(of_nodes, 'node')}"
        yield remark(f"{drawn}; not drawn: {missing}")
