"""A function's curve with points on it, and below it on the same axis how often which places occur; and numbers over
places in order, such as layers: a point for each, with its interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.style import Style

from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import aligned, count, fixed
from llminspect.render import theme
from llminspect.render.plot import Canvas, framed, room_for
from llminspect.render.prose import Text
from llminspect.render.safe import visible, width
from llminspect.render.section import Drawn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_HEIGHT = 8
_CURVE_HEIGHT = 12
_COLUMNS = 48
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The dots of a cell of Braille, row by row: so the bend of a curve is seen that is lower than a cell."""
FULL, HATCHED = "█", "▒"
SIGNS = {"●": theme.BAR_CHOSEN, FULL: theme.BAR}
"""The colours of the signs that a key explains."""


def curve(
    xs: ArrayLike,
    ys: ArrayLike,
    points: Sequence[tuple[float, float, str]] = (),
    *,
    axes: tuple[str, str] = ("x", "y"),
    counts: ArrayLike | None = None,
    full: ArrayLike | None = None,
    beyond: tuple[bool, bool] = (False, False),
) -> Drawn:
    """The curve through `xs` and `ys`, both [P], with labelled points on it; a label that finds no room is left out.

    `counts` [B] stand below as columns, of each the share `full` [B] full and the rest hatched; `beyond` says whether
    something lies beyond the left and the right end, which the outermost columns count.
    """
    x_P, y_P = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    counts_B, full_B = (None if array is None else np.asarray(array, dtype=float) for array in (counts, full))

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        columns = max(8, min(_COLUMNS, options.max_width - 10))
        plane = _Plane(columns, _CURVE_HEIGHT, (x_P[0], x_P[-1]), (y_P.min(), y_P.max()))
        ends = aligned(plane.high, plane.low, digits=3)
        most = "" if counts_B is None else count(int(counts_B.max()))
        margin = max(map(width, (*ends, most)))
        yield from framed(_drawn(plane, x_P, y_P, points), axes[1], (ends[0], ends[1]), margin)
        yield _axis(plane, axes[0], beyond, margin)
        if counts_B is not None:
            yield from _columns(counts_B, np.ones_like(counts_B) if full_B is None else full_B, columns, margin, most)

    return Drawn(draw, least=30)


@dataclass(frozen=True)
class _Plane:
    """Cells, and what stands at their edges: the low end left and below, the high end right and above."""

    columns: int
    rows: int
    across: tuple[float, float]
    up: tuple[float, float]

    @property
    def low(self) -> float:
        return self.up[0]

    @property
    def high(self) -> float:
        return self.up[1] if self.up[1] > self.up[0] else self.up[0] + 1

    def column(self, x: float) -> int:
        share = (x - self.across[0]) / (self.across[1] - self.across[0])
        return min(max(int(share * self.columns), 0), self.columns - 1)

    def dot(self, y: float) -> int:
        """The row of dots, of which a cell has four."""
        share = min(max((y - self.low) / (self.high - self.low), 0.0), 1.0)
        dots = self.rows * len(_DOTS)
        return dots - 1 - round(share * (dots - 1))

    def row(self, y: float) -> int:
        return self.dot(y) // len(_DOTS)


def _drawn(
    plane: _Plane, x_P: NDArray[np.floating], y_P: NDArray[np.floating], points: Sequence[tuple[float, float, str]]
) -> Canvas:
    """The cross through the origin, the curve, the points with their labels."""
    canvas = Canvas(plane.columns, plane.rows)
    if plane.low <= 0 <= plane.high:
        canvas.write(0, plane.row(0), "┈" * plane.columns, theme.LINE, taken=False)
    if plane.across[0] <= 0 <= plane.across[1]:
        for row in range(plane.rows):
            canvas.write(plane.column(0), row, "┊", theme.LINE, taken=False)
    for (row, column), bits in _braille(plane, x_P, y_P).items():
        canvas.write(column, row, chr(0x2800 + bits), theme.BAR, taken=False)
    spots: dict[tuple[int, int], list[str]] = {}
    for x, y, name in points:
        spots.setdefault((plane.column(x), plane.row(y)), []).append(name)
    for at, row in spots:
        canvas.write(at, row, "●", theme.BAR_CHOSEN)
    for at, row in spots:
        if (at - 1, row) in spots:
            continue  # Points side by side have one label, from left to right: of two it cannot be seen whose is whose.
        wide = next(wide for wide in range(1, plane.columns + 1) if (at + wide, row) not in spots)
        name = ", ".join(name for beside in range(at, at + wide) for name in spots[beside, row])
        if (room := room_for(canvas, at, row, width(name), wide)) is not None:
            canvas.label(*room, name, Style())
    return canvas


def _braille(plane: _Plane, x_P: NDArray[np.floating], y_P: NDArray[np.floating]) -> dict[tuple[int, int], int]:
    """The dots of the curve, by the row and the column of their cell; where it is steep it is drawn through."""
    high, wide = _DOTS.shape
    middles = plane.across[0] + (np.arange(plane.columns * wide) + 0.5) / (plane.columns * wide) * np.ptp(plane.across)
    found: dict[tuple[int, int], int] = {}
    before: int | None = None
    for x, y in enumerate(np.interp(middles, x_P, y_P)):
        dot = plane.dot(float(y))
        step = 1 if before is not None and dot > before else -1
        for crossed in range(dot if before is None else before + step * (dot != before), dot + step, step):
            cell = (crossed // high, x // wide)
            found[cell] = found.get(cell, 0) | int(_DOTS[crossed % high, x % wide])
        before = dot
    return found


def _axis(plane: _Plane, name: str, beyond: tuple[bool, bool], margin: int) -> Text:
    first, last = aligned(*plane.across, digits=3)
    left = ("≤ " if beyond[0] else "") + first
    right = f"{name} → " + ("≥ " if beyond[1] else "") + last
    line = left + " " * max(1, plane.columns - width(left) - width(right)) + right
    zero = plane.column(0)
    if 0 < zero < len(line) - 1 and line[zero - 1 : zero + 2] == "   ":
        line = line[:zero] + "0" + line[zero + 1 :]
    return Text(" " * (margin + 2) + line, theme.QUIET, no_wrap=True, overflow="ellipsis")


def _columns(
    counts_B: NDArray[np.floating], full_B: NDArray[np.floating], columns: int, margin: int, most: str
) -> Iterator[Text]:
    """Whole cells: the eye compares areas of two kinds, and there is no eighth of a hatched cell."""
    parts = np.arange(columns) * len(counts_B) // columns
    high_C = np.ceil(counts_B[parts] / counts_B.max() * _HEIGHT)
    full_C = np.round(high_C * full_B[parts])
    for row in range(_HEIGHT, 0, -1):
        line = Text(no_wrap=True, overflow="crop")
        line.append((most if row == _HEIGHT else "").rjust(margin) + "  ", theme.QUIET)
        for high, full in zip(high_C, full_C, strict=True):
            line.append(*((FULL, theme.BAR) if row <= full else (HATCHED if row <= high else " ", "")))
        line.rstrip()
        yield line


_WIDEST = 4
"""Cells from one place to the next at most."""


@dataclass(frozen=True)
class Series:
    """One line of points; of `intervals` the ends are drawn."""

    sign: str
    style: Style
    name: str
    values: Sequence[float]
    intervals: Sequence[tuple[float, float]] | None = None


_TALL = 12


def series(
    lines: Sequence[Series],
    places: Sequence[str],
    *,
    axis: str,
    limits: tuple[float, float],
    level: tuple[str, float] | None = None,
    percents: bool = False,
    first: str = "",
) -> Drawn:
    """The curves over `places`, which are named below; the first stands in front. `level` is a line across with its
    name. What lies outside `limits` is drawn at the edge. `first` is what the name of the first place means, where that
    is not one of those that `axis` counts.

    Raises ValueError for curves of other lengths than there are places.
    """
    if any(len(line.values) != len(places) for line in lines):
        raise ValueError("a curve has a value for each place")
    low, high = limits

    lowest, highest = [f"{fixed(100 * value, 0)}%" for value in limits] if percents else aligned(*limits, digits=2)

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        margin = max(len(lowest), len(highest))
        room = max(2, options.max_width - margin - 3)
        apart = min(_WIDEST, (room - 1) // max(1, len(places) - 1))
        columns = (len(places) - 1) * apart + 1 if apart else room
        canvas = Canvas(columns, _TALL)
        at = [round(index * (columns - 1) / max(1, len(places) - 1)) for index in range(len(places))]

        def row(value: float) -> int:
            share = (min(max(value, low), high) - low) / (high - low)
            return _TALL - 1 - round(share * (_TALL - 1))

        if level is not None:
            canvas.write(0, row(level[1]), "┈" * columns, theme.LINE)
        for line in reversed(lines):
            for x, (bottom, top) in zip(at, line.intervals or (), strict=False):
                # Ends alone: whole bars, of many places side by side, hide the curve.
                canvas.write(x, row(bottom), "┴", Style(color=line.style.color))
                canvas.write(x, row(top), "┬", Style(color=line.style.color))
            for x, value in zip(at, line.values, strict=True):
                canvas.write(x, row(value), line.sign, line.style)
        ticks = {0: highest, _TALL - 1: lowest}
        for index, cells in enumerate(canvas.lines()):
            found = Text(no_wrap=True, overflow="crop")
            yield found.append(ticks.get(index, "").rjust(margin) + " │", theme.QUIET).append_text(cells)
        yield Text(" " * margin + " └" + "─" * columns, theme.LINE, no_wrap=True, overflow="crop")
        yield Text(
            " " * (margin + 2) + _names(places, at, int(bool(first))), theme.QUIET, no_wrap=True, overflow="crop"
        )
        key = [f"{places[0]} {first}", f"→ {axis}"] if first else [f"→ {axis}"]
        yield from _legend(lines, level, key, options.max_width)

    return Drawn(draw, least=30)


def _names(places: Sequence[str], at: Sequence[int], ahead: int) -> str:
    """The names of the places, or of every second, fifth, tenth … of them, so that all find room; and of the last.
    So many stand `ahead` of those that are counted.
    """
    names = [visible(name) for name in places]
    last = max(0, at[-1] - width(names[-1]) + 1)
    most = max(map(width, names))
    step = next((step for step in (1, 2, 5, 10, 20, 50) if at[-1] * step >= (most + 1) * (len(at) - 1)), 100)
    line = ""
    for index in (*range(ahead), *range(ahead, len(names) - 1, step)):
        free = not line or at[index] > width(line)
        if free and at[index] + width(names[index]) < last:
            line += " " * (at[index] - width(line)) + names[index]
    return line + " " * (last - width(line)) + names[-1]


def _legend(lines: Sequence[Series], level: tuple[str, float] | None, key: Sequence[str], cells: int) -> Iterator[Text]:
    """What the signs mean, in as many lines as it takes."""
    parts = [
        Text.assemble(
            (line.sign, line.style), (f" {line.name}{' (┬ ┴ 95% interval)' if line.intervals else ''}", theme.QUIET)
        )
        for line in lines
    ]
    parts += [Text(f"┈ {level[0]}", theme.QUIET)] if level is not None else []
    parts += [Text(text, theme.QUIET) for text in key]
    found = Text()
    for part in parts:
        if found and found.cell_len + part.cell_len + 3 > cells:
            yield found
            found = Text()
        found.append("   " if found else "").append_text(part)
    yield found
