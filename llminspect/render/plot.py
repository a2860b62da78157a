"""Points in the plane with their labels, for projections, on a canvas that knows where something stands already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.style import Style

from llminspect.core.numbers import aligned, several
from llminspect.render import theme
from llminspect.render.grid import legend
from llminspect.render.prose import Text
from llminspect.render.safe import label, shorten, visible, width
from llminspect.render.section import Drawn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_GLYPHS = "●○◆◇■□"
_KEYS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WIDEST = 120
_LONGEST_LABEL = 20


def scatter(
    points_N2: ArrayLike,
    labels: Sequence[str],
    *,
    axes: tuple[str, str] = ("x", "y"),
    groups: Sequence[str] | None = None,
    title: str = "",
    height: int | None = None,
) -> Drawn:
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
    seen = np.isfinite(points).all(axis=1)
    shown_N2 = points[seen]
    names = [label(text) for text, finite in zip(labels, seen, strict=True) if finite]
    of_group = [visible(group) for group, finite in zip(groups or (), seen, strict=False) if finite]
    kinds = list(dict.fromkeys(of_group))
    looks = [
        (_GLYPHS[index % len(_GLYPHS)], theme.POINTS[index % len(theme.POINTS)]) for index in range(len(kinds) or 1)
    ]
    signs = [looks[kinds.index(group)] for group in of_group] or looks * len(names)

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        if not len(shown_N2):
            yield Text("nothing to show: no points", theme.QUIET)
            return
        rows = height or max(10, min(28, options.max_width // 4))
        # The tick labels at the left depend on the limits, these on the width: nine cells do for both.
        columns = max(8, min(_WIDEST, options.max_width - 10))
        low, high = _limits(shown_N2, columns, rows)
        canvas = Canvas(columns, rows)
        _draw_zero(canvas, low, high)
        # Points that differ by rounding only must not fall on two sides of the middle of a cell.
        exact_N2 = np.round((shown_N2 - low) / (high - low) * [columns - 1, rows - 1], 6)
        places = [(int(x), rows - 1 - int(y)) for x, y in np.rint(exact_N2)]
        entries = _draw_points(canvas, places, names, signs)
        highest, lowest = (shorten(end, 8) for end in aligned(high[1], low[1], digits=3))
        margin = max(width(highest), width(lowest))
        yield from framed(canvas, visible(axes[1]), (highest, lowest), margin)
        yield _axis(canvas, low[0], high[0], visible(axes[0]), margin)
        if groups is not None:
            yield Text("   ").join(Text.assemble(look, f" {kind}") for look, kind in zip(looks, kinds, strict=True))
        yield from _point_legend(entries, options.max_width)
        if left_out := int((~seen).sum()):
            yield Text(f"{several(left_out, 'point')} not finite and not shown", theme.QUIET)

    return Drawn(draw, title=title, least=30)


def _draw_zero(canvas: Canvas, low: NDArray[np.floating], high: NDArray[np.floating]) -> None:
    """A thin cross through the origin, where it is in the picture."""
    zero = np.rint(-low / (high - low) * [canvas.columns - 1, canvas.rows - 1])
    x, y = int(zero[0]), canvas.rows - 1 - int(zero[1])
    if 0 <= y < canvas.rows:
        canvas.write(0, y, "┈" * canvas.columns, theme.LINE, taken=False)
    if 0 <= x < canvas.columns:
        for row in range(canvas.rows):
            canvas.write(x, row, "┊", theme.LINE, taken=False)


def _draw_points(
    canvas: Canvas, places: list[tuple[int, int]], names: list[str], signs: list[tuple[str, Style]]
) -> list[tuple[str, str]]:
    """Draw the points, then the labels that find room; what does not is keyed, and returned for the legend."""
    at: dict[tuple[int, int], list[int]] = {}
    for index, place in enumerate(places):
        at.setdefault(place, []).append(index)
    for (x, y), here in at.items():
        canvas.write(x, y, *signs[here[0]])
    entries: list[tuple[str, str]] = []
    keys = iter(_KEYS)
    for (x, y), here in at.items():
        times = Counter(names[index] for index in here)
        name = ", ".join(text if count == 1 else f"{text} ×{count}" for text, count in times.items())
        spot = room_for(canvas, x, y, width(name)) if width(name) <= _LONGEST_LABEL else None
        if spot is not None:
            canvas.label(*spot, name, Style())
            continue
        key = next(keys, "")
        if key:
            canvas.write(x, y, key, signs[here[0]][1] + theme.STRONG)
        entries.append((key, name))
    return entries


def _point_legend(entries: list[tuple[str, str]], total: int) -> Iterator[Text]:
    keyed = [(key, shorten(name, max(8, total - 12))) for key, name in entries if key]
    if keyed:
        yield from legend("points:", keyed, total)
    if len(keyed) < len(entries):
        yield Text(f"{several(len(entries) - len(keyed), 'more place')} without room for a label", theme.QUIET)


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


def room_for(canvas: Canvas, x: int, y: int, cells: int, wide: int = 1) -> tuple[int, int] | None:
    """Where a label of that length can stand next to `wide` points side by side: right, left, above, below."""
    if canvas.free(x + wide + 1, y, cells):
        return x + wide + 1, y
    if canvas.free(x - 1 - cells, y, cells):
        return x - 1 - cells, y
    for row in (y - 1, y + 1):
        start = min(max(x - cells // 2, 0), canvas.columns - cells)
        if canvas.free(start, row, cells):
            return start, row
    return None


def framed(canvas: Canvas, name: str, ends: tuple[str, str], margin: int) -> Iterator[Text]:
    """The canvas with an axis at the left, its ends named in their rows, its name above, and a line below."""
    yield Text(" " * margin + f" ↑ {name}", theme.QUIET, no_wrap=True)
    ticks = {canvas.rows - 1: ends[1], 0: ends[0]}
    for index, row in enumerate(canvas.lines()):
        line = Text(no_wrap=True, overflow="crop")
        yield line.append(ticks.get(index, "").rjust(margin) + " │", theme.QUIET).append_text(row)
    yield Text(" " * margin + " └" + "─" * canvas.columns, theme.LINE, no_wrap=True, overflow="crop")


def _axis(canvas: Canvas, low: float, high: float, name: str, margin: int) -> Text:
    left, last = aligned(low, high, digits=3)
    right = f"{name} → {last}"
    gap = max(1, canvas.columns - width(left) - width(right))
    return Text(" " * (margin + 2) + left + " " * gap + right, theme.QUIET, no_wrap=True, overflow="ellipsis")


class Canvas:
    """`columns` × `rows` cells; (0, 0) is at the top left."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._cells = [[(" ", Style())] * columns for _ in range(rows)]
        self._taken = [[False] * columns for _ in range(rows)]

    def write(self, column: int, row: int, text: str, style: Style, *, taken: bool = True) -> None:
        """Put `text` there, over what there was; `taken` keeps later labels off it."""
        for char in text:
            size = cell_len(char)
            if size == 0 and column:
                # A combining mark belongs to the character before it.
                before, style_before = self._cells[row][column - 1]
                self._cells[row][column - 1] = (before + char, style_before)
            for offset in range(size):
                self._cells[row][column + offset] = (char if offset == 0 else "", style)
                self._taken[row][column + offset] |= taken
            column += size

    def label(self, column: int, row: int, text: str, style: Style) -> None:
        """Put `text` there with a blank at each end, where nothing else stands, so that no line runs into it."""
        for edge in (column - 1, column + cell_len(text)):
            if 0 <= edge < self.columns and not self._taken[row][edge]:
                self.write(edge, row, " ", style, taken=False)
        self.write(column, row, text, style)

    def free(self, column: int, row: int, cells: int) -> bool:
        """Whether `cells` cells from there on are inside and free, and a label there would touch no other."""
        if not (0 <= row < self.rows and column >= 0 and column + cells <= self.columns):
            return False
        return not any(self._taken[row][max(column - 1, 0) : column + cells + 1])

    def lines(self) -> Iterator[Text]:
        for row in self._cells:
            line = Text(no_wrap=True, overflow="crop")
            for char, style in row:
                line.append(char, style)
            yield line
