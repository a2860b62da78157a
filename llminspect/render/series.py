"""Numbers over places in order, such as layers: a point for each, with its interval, on a canvas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.style import Style
from rich.text import Text

from llminspect.core.numbers import number
from llminspect.render import theme
from llminspect.render.plot import Canvas
from llminspect.render.safe import visible, width
from llminspect.render.section import Drawn

_WIDEST = 4
"""Cells from one place to the next at most."""


@dataclass(frozen=True)
class Series:
    """One line of points; `intervals` are drawn through them."""

    sign: str
    style: Style
    name: str
    values: Sequence[float]
    intervals: Sequence[tuple[float, float]] | None = None


_HEIGHT = 12


def series(
    lines: Sequence[Series],
    places: Sequence[str],
    *,
    axis: str,
    limits: tuple[float, float],
    level: tuple[str, float] | None = None,
    percents: bool = False,
) -> Drawn:
    """The curves over `places`, which are named below; the first stands in front. `level` is a line across with its
    name. What lies outside `limits` is drawn at the edge.

    Raises ValueError for curves of other lengths than there are places.
    """
    if any(len(line.values) != len(places) for line in lines):
        raise ValueError("a curve has a value for each place")
    low, high = limits

    def tick(value: float) -> str:
        return f"{100 * value:.0f}%" if percents else number(value, 2)

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        margin = max(len(tick(value)) for value in limits)
        room = max(2, options.max_width - margin - 3)
        apart = min(_WIDEST, (room - 1) // max(1, len(places) - 1))
        columns = (len(places) - 1) * apart + 1 if apart else room
        canvas = Canvas(columns, _HEIGHT)
        at = [round(index * (columns - 1) / max(1, len(places) - 1)) for index in range(len(places))]

        def row(value: float) -> int:
            share = (min(max(value, low), high) - low) / (high - low)
            return _HEIGHT - 1 - round(share * (_HEIGHT - 1))

        if level is not None:
            canvas.write(0, row(level[1]), "┈" * columns, theme.LINE)
        for line in reversed(lines):
            for x, (bottom, top) in zip(at, line.intervals or (), strict=False):
                for y in range(row(top), row(bottom) + 1):
                    canvas.write(x, y, "│", Style(color=line.style.color))
            for x, value in zip(at, line.values, strict=True):
                canvas.write(x, row(value), line.sign, line.style)
        ticks = {0: tick(high), _HEIGHT - 1: tick(low)}
        for index, cells in enumerate(canvas.lines()):
            found = Text(no_wrap=True, overflow="crop")
            yield found.append(ticks.get(index, "").rjust(margin) + " │", theme.QUIET).append_text(cells)
        yield Text(" " * margin + " └" + "─" * columns, theme.LINE, no_wrap=True, overflow="crop")
        yield Text(" " * (margin + 2) + _names(places, at, columns), theme.QUIET, no_wrap=True, overflow="crop")
        yield from _legend(lines, level, axis, options.max_width)

    return Drawn(draw, least=30)


def _names(places: Sequence[str], at: Sequence[int], columns: int) -> str:
    """The names of the places that find room, the last among them."""
    names = [visible(name) for name in places]
    last = max(0, at[-1] - width(names[-1]) + 1)
    line = ""
    for name, x in zip(names[:-1], at[:-1], strict=True):
        if (not line or x >= width(line) + 1) and x + width(name) < last:
            line += " " * (x - width(line)) + name
    return line + " " * (last - width(line)) + names[-1]


def _legend(lines: Sequence[Series], level: tuple[str, float] | None, axis: str, cells: int) -> Iterator[Text]:
    """What the signs mean, in as many lines as it takes."""
    parts = [
        Text.assemble((line.sign, line.style), (f" {line.name}{' (│ 95 %)' if line.intervals else ''}", theme.QUIET))
        for line in lines
    ]
    parts += [Text(f"┈ {level[0]}", theme.QUIET)] if level is not None else []
    parts.append(Text(f"→ {axis}", theme.QUIET))
    found = Text()
    for part in parts:
        if found and found.cell_len + part.cell_len + 3 > cells:
            yield found
            found = Text()
        found.append("   " if found else "").append_text(part)
    yield found
