"""A matrix as coloured cells, with the numbers in them where they fit, and always with the key of its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.measure import Measurement
from rich.text import Text

from llminspect.render import theme
from llminspect.render.grid import Grid, Picture, make_grid
from llminspect.render.ramp_key import ColorLimits, limits_of, place, ramp_key
from llminspect.render.safe import fit, label, visible, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from rich.console import Console, ConsoleOptions, RenderResult

    from llminspect.render.fold import Fold


class Heatmap:
    """The renderable of `heatmap` and `head_map`; adapts to the width that it is given."""

    def __init__(
        self, picture: Picture, *, title: str, scale: theme.Scale, limits: ColorLimits, value_name: str, masked: str
    ) -> None:
        self.picture, self.title, self.scale = picture, title, scale
        self.value_name, self.masked = value_name, masked
        self.low, self.high = limits_of(picture.values_RC, scale, limits)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(20, options.max_width), options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        picture, colors = self.picture, theme.has_colors(console)
        if self.title:
            yield Text(visible(self.title), theme.TITLE)
        if not picture.values_RC.size:
            sizes = f"{picture.rows} {picture.row_name} × {picture.columns} {picture.column_name}"
            yield Text(f"nothing to show: {sizes}", theme.QUIET)
            return
        grid = make_grid(picture, options.max_width, colors)
        for note in grid.notes:
            yield Text(note, theme.QUIET)
        yield from self._lines(grid, colors)
        yield Text()
        blank = f"{'blank' if colors and grid.texts is None else '·'} = {self.masked}"
        masked = blank if np.isnan(picture.values_RC).any() else ""
        values, written = picture.values_RC, grid.texts is not None
        yield ramp_key(values, self.scale, self.low, self.high, name=self.value_name, masked=masked, written=written)
        yield from grid.header.legend

    def _lines(self, grid: Grid, colors: bool) -> Iterator[Text]:
        margin = width(grid.row_labels[0])
        shift = Text(" " * (margin + 1))
        for line in grid.header.rulers:
            yield shift + line
        step = 1 + grid.halves
        for index, name in zip(range(0, len(grid.values_RC), step), grid.row_labels, strict=True):
            line = Text(name + " ", no_wrap=True, overflow="crop")
            rows = grid.values_RC[index : index + step]
            if grid.halves:
                self._append_halves(line, rows)
            else:
                self._append_cells(line, rows[0], grid.texts[index] if grid.texts else None, grid.cell, colors)
            if not colors:
                line.rstrip()
            yield line

    def _append_cells(
        self, line: Text, row_C: NDArray[np.floating], texts: list[str] | None, cell: int, colors: bool
    ) -> None:
        for index, value in enumerate(row_C):
            if np.isnan(value):
                empty = "·".center(cell) if texts is not None else ("" if colors else "·").ljust(cell)
                line.append(empty, theme.QUIET)
                continue
            position = place(value, self.low, self.high)
            if texts is not None:
                text = fit(texts[index] + " ", cell, "right")
            else:
                text = " " * cell if colors else theme.shade(self.scale, position) * cell
            line.append(text, theme.cell_style(self.scale, position) if colors else "")

    def _append_halves(self, line: Text, rows_2C: NDArray[np.floating]) -> None:
        lower_C = rows_2C[1] if len(rows_2C) == 2 else np.full_like(rows_2C[0], np.nan)
        for upper, lower in zip(rows_2C[0], lower_C, strict=True):
            above, below = place(upper, self.low, self.high), place(lower, self.low, self.high)
            if np.isnan(upper) and np.isnan(lower):
                line.append(" ")
            elif np.isnan(lower):
                line.append("▀", theme.ink_style(self.scale, above))
            elif np.isnan(upper):
                line.append("▄", theme.ink_style(self.scale, below))
            else:
                line.append("▀", theme.pair_style(self.scale, above, below))


def _picture(
    matrix: ArrayLike,
    row_labels: Sequence[str] | None,
    column_labels: Sequence[str] | None,
    *,
    row_name: str,
    column_name: str,
    fold: Fold,
    numbers: bool,
    marks: Sequence[Sequence[str]] | None,
    max_rows: int,
) -> Picture:
    values = np.asarray(matrix)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(float)
    if values.ndim != 2:
        raise ValueError(f"a heatmap takes a matrix, not an array of shape {values.shape}")
    rows, columns = values.shape
    if marks is not None and [len(row) for row in marks] != [columns] * rows:
        raise ValueError(f"the marks do not match a matrix of {rows} × {columns}")
    return Picture(
        # A score of minus infinity is how a mask is written before the softmax.
        np.where(np.isneginf(values), np.nan, values),
        _checked(row_labels, rows, "rows"),
        _checked(column_labels, columns, "columns"),
        visible(row_name),
        visible(column_name),
        fold,
        numbers,
        marks,
        max(2, max_rows),
    )


def _checked(labels: Sequence[str] | None, size: int, what: str) -> list[str] | None:
    if labels is not None and len(labels) != size:
        raise ValueError(f"{len(labels)} labels for {size} {what}")
    return None if labels is None else [label(text) for text in labels]


def heatmap(
    matrix: ArrayLike,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    *,
    title: str = "",
    scale: theme.Scale = "sequential",
    limits: ColorLimits = None,
    fold: Fold = "mean",
    row_name: str = "rows",
    column_name: str = "columns",
    value_name: str = "",
    masked: str = "masked",
    numbers: bool = True,
    max_rows: int = 40,
) -> Heatmap:
    """`matrix` [rows, columns] as coloured cells, with numbers in them where they fit, and a key below.

    - `row_labels`, `column_labels`: one each; without them rows and columns are numbered from 0. The same labels on
      both axes make it a square: both are folded alike and the columns are numbered like the rows.
    - `scale`: `sequential`, or `diverging` around 0. `limits`: the values at the ends of the colours, `"robust"` to
      leave out the outermost hundredth at each end (the key then says ≤ and ≥), by default all values.
    - `fold`: what stands for several rows or columns where there are more than fit: `mean`, `max`, `extreme` (the
      furthest from 0), `thin` (the first). A line says that it was done.
    - `row_name`, `column_name`: what the rows and columns are, in the plural; `value_name`: what the colours are.
    - NaN and minus infinity are left blank; the key names them `masked`.
    - `max_rows` lines at most: more rows are shown as half blocks, two a line (without colour one a line), and more
      than twice as many are folded.

    Raises ValueError for an array that is not a matrix, and for labels that do not match it.
    """
    picture = _picture(
        matrix,
        row_labels,
        column_labels,
        row_name=row_name,
        column_name=column_name,
        fold=fold,
        numbers=numbers,
        marks=None,
        max_rows=max_rows,
    )
    return Heatmap(picture, title=title, scale=scale, limits=limits, value_name=value_name, masked=masked)


def head_map(
    values_LH: ArrayLike,
    *,
    title: str = "",
    scale: theme.Scale = "sequential",
    limits: ColorLimits = None,
    value_name: str = "",
    layers: Sequence[int] | None = None,
    marks: Sequence[Sequence[str]] | None = None,
    numbers: bool = True,
    max_rows: int = 48,
) -> Heatmap:
    """All layers (down) × heads (across) at a glance, each head a cell coloured by a measure.

    `marks` [layers][heads] puts a short mark (such as a letter for what a head does) in each cell in place of its
    number; `layers` are the layers' numbers where not all are shown.
    """
    picture = _picture(
        values_LH,
        None if layers is None else [str(layer) for layer in layers],
        None,
        row_name="layers",
        column_name="heads",
        fold="max",
        numbers=numbers,
        marks=marks,
        max_rows=max_rows,
    )
    return Heatmap(picture, title=title, scale=scale, limits=limits, value_name=value_name, masked="none")
