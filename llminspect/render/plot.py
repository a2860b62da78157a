"""Points in the plane with their labels, for projections; and how values are distributed, as a histogram."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from rich.measure import Measurement
from rich.style import Style
from rich.text import Text

from llminspect.core.numbers import number
from llminspect.render import theme
from llminspect.render.axis import legend
from llminspect.render.canvas import Canvas
from llminspect.render.safe import label, shorten, visible, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from rich.console import Console, ConsoleOptions, RenderResult

_GLYPHS = "●○◆◇■□"
_KEYS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WIDEST = 120
_LONGEST_LABEL = 20


class Scatter:
    """The renderable of `scatter`; adapts to the width that it is given."""

    def __init__(
        self,
        points_N2: NDArray[np.floating],
        labels: list[str],
        groups: list[str] | None,
        axes: tuple[str, str],
        title: str,
        height: int | None,
    ) -> None:
        seen = np.isfinite(points_N2).all(axis=1)
        self.points_N2 = points_N2[seen]
        self.labels = [name for name, finite in zip(labels, seen, strict=True) if finite]
        self.groups = [group for group, finite in zip(groups, seen, strict=True) if finite] if groups else None
        self.left_out = int((~seen).sum())
        self.axes, self.title, self.height = axes, title, height

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(30, options.max_width), options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(visible(self.title), theme.TITLE)
        if not len(self.points_N2):
            yield Text("nothing to show: no points", theme.QUIET)
            return
        rows = self.height or max(10, min(28, options.max_width // 4))
        # The tick labels at the left depend on the limits, these on the width: nine cells do for both.
        columns = max(8, min(_WIDEST, options.max_width - 10))
        low, high = _limits(self.points_N2, columns, rows)
        canvas = Canvas(columns, rows)
        # Points that differ by rounding only must not fall on two sides of the middle of a cell.
        exact_N2 = np.round((self.points_N2 - low) / (high - low) * [columns - 1, rows - 1], 6)
        places = np.rint(exact_N2).astype(int)
        self._draw_zero(canvas, low, high)
        entries = self._draw_points(canvas, [(int(x), rows - 1 - int(y)) for x, y in places])
        yield from _framed(canvas, low, high, self.axes)
        yield from self._legends(entries, options.max_width)

    def _draw_zero(self, canvas: Canvas, low: NDArray[np.floating], high: NDArray[np.floating]) -> None:
        """A thin cross through the origin, where it is in the picture."""
        zero = np.rint(-low / (high - low) * [canvas.columns - 1, canvas.rows - 1])
        x, y = int(zero[0]), canvas.rows - 1 - int(zero[1])
        if 0 <= y < canvas.rows:
            canvas.write(0, y, "┈" * canvas.columns, theme.QUIET, taken=False)
        if 0 <= x < canvas.columns:
            for row in range(canvas.rows):
                canvas.write(x, row, "┊", theme.QUIET, taken=False)

    def _draw_points(self, canvas: Canvas, places: list[tuple[int, int]]) -> list[tuple[str, str]]:
        """Draw the points, then the labels that find room; what does not is keyed, and returned for the legend."""
        at: dict[tuple[int, int], list[int]] = {}
        for index, place in enumerate(places):
            at.setdefault(place, []).append(index)
        for (x, y), here in at.items():
            canvas.write(x, y, self._glyph(here[0]), self._style(here[0]))
        entries: list[tuple[str, str]] = []
        keys = iter(_KEYS)
        for (x, y), here in at.items():
            times = Counter(self.labels[index] for index in here)
            name = ", ".join(text if count == 1 else f"{text} ×{count}" for text, count in times.items())
            spot = _room_for(canvas, x, y, width(name)) if width(name) <= _LONGEST_LABEL else None
            if spot is not None:
                canvas.label(*spot, name, Style())
                continue
            key = next(keys, "")
            if key:
                canvas.write(x, y, key, self._style(here[0]) + theme.STRONG)
            entries.append((key, name))
        return entries

    def _legends(self, entries: list[tuple[str, str]], total: int) -> Iterator[Text]:
        if self.groups is not None:
            line = Text()
            for index, group in enumerate(dict.fromkeys(self.groups)):
                line.append(_GLYPHS[index % len(_GLYPHS)], theme.POINTS[index % len(theme.POINTS)])
                line.append(f" {group}   ")
            line.rstrip()
            yield line
        keyed = [(key, shorten(name, max(8, total - 12))) for key, name in entries if key]
        if keyed:
            yield from legend("points:", keyed, total)
        if len(keyed) < len(entries):
            yield Text(f"{len(entries) - len(keyed)} places more have no room for a label", theme.QUIET)
        if self.left_out:
            yield Text(f"{self.left_out} points are not finite and not shown", theme.QUIET)

    def _group(self, index: int) -> int:
        return list(dict.fromkeys(self.groups)).index(self.groups[index]) if self.groups is not None else 0

    def _glyph(self, index: int) -> str:
        return _GLYPHS[self._group(index) % len(_GLYPHS)]

    def _style(self, index: int) -> Style:
        return theme.POINTS[self._group(index) % len(theme.POINTS)]


def scatter(
    points_N2: ArrayLike,
    labels: Sequence[str],
    *,
    axes: tuple[str, str] = ("x", "y"),
    groups: Sequence[str] | None = None,
    title: str = "",
    height: int | None = None,
) -> Scatter:
    """Points [N, 2] with their labels; `axes` name them, with their share of the variance for a projection.

    Labels never overlap: one that finds no room is replaced by a key, explained below the picture, as are points that
    fall on one place. `groups` (one name a point) colour the points and give them signs. A unit is as long across
    as up, so that distances can be compared; `height` is in lines.

    Raises ValueError for an array of another shape, and for labels or groups that do not match it.
    """
    points = np.asarray(points_N2, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"a scatter takes an array of shape [N, 2], not {list(points.shape)}")
    if len(labels) != len(points) or (groups is not None and len(groups) != len(points)):
        raise ValueError(f"{len(labels)} labels for {len(points)} points")
    shown = [label(text) for text in labels]
    named = None if groups is None else [visible(group) for group in groups]
    return Scatter(points, shown, named, (visible(axes[0]), visible(axes[1])), title, height)


def _limits(
    points_N2: NDArray[np.floating], columns: int, rows: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The lower left and the upper right corner: a margin around the points, the same unit on both axes."""
    low, high = points_N2.min(axis=0), points_N2.max(axis=0)
    middle, spread = (low + high) / 2, (high - low) * 1.1
    unit = max(spread[0] / columns, spread[1] / (2 * rows))  # A cell is about twice as high as wide.
    spread = np.array([unit * columns, unit * 2 * rows])
    spread = np.where(spread > 0, spread, 1.0)
    return middle - spread / 2, middle + spread / 2


def _room_for(canvas: Canvas, x: int, y: int, cells: int) -> tuple[int, int] | None:
    """Where a label of that length can stand next to a point: right, left, above, below."""
    if canvas.free(x + 2, y, cells):
        return x + 2, y
    if canvas.free(x - 1 - cells, y, cells):
        return x - 1 - cells, y
    for row in (y - 1, y + 1):
        start = min(max(x - cells // 2, 0), canvas.columns - cells)
        if canvas.free(start, row, cells):
            return start, row
    return None


def _framed(
    canvas: Canvas, low: NDArray[np.floating], high: NDArray[np.floating], axes: tuple[str, str]
) -> Iterator[Text]:
    """The canvas with an axis at the left and one below, the ends of each labelled, and their names."""
    ticks = [shorten(text.strip(), 8) for text in (number(high[1], 3), number(low[1], 3))]
    margin = max(map(width, ticks))
    yield Text(" " * (margin - width(ticks[0])) + f"{ticks[0]} ↑ {axes[1]}", theme.QUIET, no_wrap=True)
    rows = list(canvas.lines())
    for index, row in enumerate(rows):
        tick = ticks[1] if index == len(rows) - 1 else ""
        line = Text(no_wrap=True, overflow="crop")
        yield line.append(tick.rjust(margin) + " │", theme.QUIET).append_text(row)
    yield Text(" " * margin + " └" + "─" * canvas.columns, theme.QUIET, no_wrap=True, overflow="crop")
    left, right = number(low[0], 3), f"{axes[0]} → {number(high[0], 3)}"
    gap = max(1, canvas.columns - width(left) - width(right))
    yield Text(" " * (margin + 2) + left + " " * gap + right, theme.QUIET, no_wrap=True, overflow="ellipsis")
