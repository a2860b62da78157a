"""A matrix as coloured cells, with the numbers in them where they fit, and always with the key of its colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType

from llminspect.render import theme
from llminspect.render.grid import Fold, Grid, Picture, make_grid
from llminspect.render.prose import Text
from llminspect.render.ramp_key import ColorLimits, Ramp, limits_of, ramp_key
from llminspect.render.safe import fit, label, visible, width
from llminspect.render.section import Drawn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


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
    marks: Sequence[Sequence[str]] | None = None,
    max_rows: int = 40,
) -> Drawn:
    """`matrix` [rows, columns] as coloured cells, with numbers in them where they fit, and a key below.

    - `row_labels`, `column_labels`: one each; without them rows and columns are numbered from 0. The same labels on
      both axes make it a square: both are folded alike and the columns are numbered like the rows.
    - `scale`: `sequential`, or `diverging` around 0. `limits`: the values at the ends of the colours, `"robust"` to
      leave out the outermost hundredth at each end (the key then says ≤ and ≥), by default all values.
    - `fold`: what stands for several rows or columns where there are more than fit: `mean`, `max`, `extreme` (the
      furthest from 0), `thin` (the first). A line says that it was done.
    - `row_name`, `column_name`: what the rows and columns are, in the plural; `value_name`: what the colours are.
    - NaN and minus infinity are a ·, which the key names `masked`: in a dark terminal the low end of a ramp is nearly
      as dark as the background.
    - `marks` [rows][columns] put a short mark in each cell in place of its number.
    - `max_rows` lines at most: more rows are shown as half blocks, two a line (without colour one a line), and more
      than twice as many are folded.

    Raises ValueError for an array that is not a matrix, and for labels or marks that do not match it.
    """
    values_RC = _checked_matrix(matrix, marks)
    rows, columns = values_RC.shape
    names = visible(row_name), visible(column_name)
    labels = _checked(row_labels, rows, "rows"), _checked(column_labels, columns, "columns")
    picture = Picture(values_RC, rows, columns, *labels, *names, fold, numbers, marks, max(2, max_rows))
    ramp = Ramp(scale, *limits_of(values_RC, scale, limits))

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if not values_RC.size:
            yield Text(f"nothing to show: {rows} {names[0]} × {columns} {names[1]}", theme.QUIET)
            return
        colors = theme.has_colors(console)
        grid = make_grid(picture, options.max_width, colors)
        for note in grid.notes:
            yield Text(note, theme.QUIET)
        yield from _lines(grid, ramp, colors)
        yield Text()
        written = grid.texts is not None
        blank = f"· = {masked}" if np.isnan(values_RC).any() else ""
        yield ramp_key(values_RC, ramp, name=value_name, masked=blank, written=written)
        yield from grid.header.legend

    return Drawn(draw, title=title, least=20)


head_map = partial(heatmap, fold="max", row_name="layers", column_name="heads", masked="none", max_rows=48)
"""All layers (down) × heads (across) at a glance, each head a cell coloured by a measure.

`marks` are such as a letter for what a head does.
"""


def _checked_matrix(matrix: ArrayLike, marks: Sequence[Sequence[str]] | None) -> NDArray[np.floating]:
    values = np.asarray(matrix)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(float)
    if values.ndim != 2:
        raise ValueError(f"a heatmap takes a matrix, not an array of shape {values.shape}")
    rows, columns = values.shape
    if marks is not None and [len(row) for row in marks] != [columns] * rows:
        raise ValueError(f"the marks do not match a matrix of {rows} × {columns}")
    # A score of minus infinity is how a mask is written before the softmax.
    return np.where(np.isneginf(values), np.nan, values)


def _checked(labels: Sequence[str] | None, size: int, what: str) -> list[str] | None:
    if labels is not None and len(labels) != size:
        raise ValueError(f"{len(labels)} labels for {size} {what}")
    return None if labels is None else [label(text) for text in labels]


def _lines(grid: Grid, ramp: Ramp, colors: bool) -> Iterator[Text]:
    margin = width(grid.row_labels[0])
    shift = Text(" " * (margin + 1))
    for line in grid.header.rulers:
        yield shift.copy().append_text(line)
    step = 1 + grid.halves
    for index, name in zip(range(0, len(grid.values_RC), step), grid.row_labels, strict=True):
        line = Text(name + " ", no_wrap=True, overflow="crop")
        rows = grid.values_RC[index : index + step]
        if grid.halves:
            _append_halves(line, ramp, rows)
        else:
            _append_cells(line, ramp, rows[0], grid.texts[index] if grid.texts else None, grid.cell, colors)
        if not colors:
            line.rstrip()
        yield line


def _append_cells(
    line: Text, ramp: Ramp, row_C: NDArray[np.floating], texts: list[str] | None, cell: int, colors: bool
) -> None:
    for index, value in enumerate(row_C):
        if np.isnan(value):
            empty = "·".center(cell) if texts is not None or colors else "·".ljust(cell)
            line.append(empty, theme.QUIET)
            continue
        position = ramp.place(value)
        if texts is not None:
            text = fit(texts[index] + " ", cell, "right")
        else:
            text = " " * cell if colors else theme.shade(ramp.scale, position) * cell
        line.append(text, theme.cell_style(ramp.scale, position) if colors else "")


def _append_halves(line: Text, ramp: Ramp, rows_2C: NDArray[np.floating]) -> None:
    lower_C = rows_2C[1] if len(rows_2C) == 2 else np.full_like(rows_2C[0], np.nan)
    for upper, lower in zip(rows_2C[0], lower_C, strict=True):
        if np.isnan(upper) and np.isnan(lower):
            line.append("·", theme.QUIET)
        elif np.isnan(upper):
            line.append("▄", theme.ink_style(ramp.scale, ramp.place(lower)))
        else:
            below = None if np.isnan(lower) else ramp.place(lower)
            line.append("▀", theme.ink_style(ramp.scale, ramp.place(upper), below))
