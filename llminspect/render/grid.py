"""What is shown of a matrix at a given width: which values, folded how, with which text, and which labels on the axes.

Labels are written out where they fit, otherwise numbered, with a legend; they have been made `visible` already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Literal

import numpy as np

from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import column as number_column
from llminspect.core.numbers import fixed
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import fit, shorten, visible, width

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fold = Literal["mean", "max", "extreme", "thin"]
"""What stands for several neighbours: their mean, the largest, the one furthest from 0, or simply the first."""

_CALLED = {"mean": "the mean", "max": "the largest", "extreme": "the number furthest from 0", "thin": "the first"}

_WIDEST_CELL = 4
"""Of cells without text: wider ones show nothing more."""
_WIDEST_TEXT, _WIDEST_LABEL = 12, 25
"""Of cells with text: those whose labels are cut, and those whose labels all have room."""
_LABEL = 8
"""Of a row's label at least so much is shown."""
_SHORTEST = 6
"""A label may be cut to so many cells before it is numbered instead."""


@dataclass(frozen=True)
class Picture:
    """A matrix and what its reader is to know of it; its labels are `visible` already."""

    values_RC: NDArray[np.floating]
    rows: int
    columns: int
    row_labels: list[str] | None
    column_labels: list[str] | None
    row_name: str
    column_name: str
    fold: Fold
    numbers: bool
    marks: Sequence[Sequence[str]] | None
    max_rows: int

    @property
    def square(self) -> bool:
        """The same labels on both axes: a square of tokens, whose diagonal has to stay one."""
        return self.row_labels is not None and self.row_labels == self.column_labels


@dataclass(frozen=True)
class Grid:
    """Folded values, the text in each cell (or None), how wide a cell is, what stands around the cells."""

    values_RC: NDArray[np.floating]
    texts: list[list[str]] | None
    cell: int
    row_labels: list[str]
    header: AxisHeader
    halves: bool
    notes: list[str]


def make_grid(picture: Picture, total: int, colors: bool) -> Grid:
    """Lay `picture` out in `total` cells of width; half blocks only with `colors`."""
    margin = max(6, min(24, total // 3))  # Of the row labels: a third at most, the cells get the rest.
    numbered = row_labels_of(picture.row_labels, picture.rows, numbered=picture.square)
    label_width = min(max(map(width, numbered)), margin)
    if label_width > total - 1 - picture.columns >= _LABEL:
        # Rather shorter labels than folded columns.
        margin = label_width = total - 1 - picture.columns
    room = max(1, total - label_width - 1)
    texts = _texts(picture, room)
    if texts is not None:
        return _grid_with_text(picture, texts, room, total, margin)
    column_size = bin_size(picture.columns, room)
    row_size = column_size if picture.square else 1
    rows = -(-picture.rows // row_size)
    halves = colors and rows > picture.max_rows
    # Without half blocks the picture is twice as high: a pipe has no screen to fill.
    tallest = picture.max_rows * 2
    if rows > tallest:
        row_size = bin_size(picture.rows, tallest)
        column_size = row_size if picture.square else column_size
    values_RC = fold_rows(fold_columns(picture.values_RC, column_size, picture.fold), row_size, picture.fold)
    halves = halves and len(values_RC) > picture.max_rows // 2
    labels = row_labels_of(picture.row_labels, picture.rows, numbered=picture.square, step=row_size * (1 + halves))
    cell = min(room // values_RC.shape[1], 1 if halves else _WIDEST_CELL)
    header = column_header(
        picture.column_labels, picture.columns, column_size, cell, total, shown_with_rows=picture.square, plain=True
    )
    notes = _notes(picture, row_size, column_size, halves)
    return Grid(values_RC, None, cell, _aligned(labels, margin), header, halves, notes)


def _grid_with_text(picture: Picture, texts: list[list[str]], room: int, total: int, margin: int) -> Grid:
    wide = max(width(text) for row in texts for text in row)
    most, longest = room // picture.columns, max((width(label) + 1 for label in picture.column_labels or []), default=0)
    cell = min(most, max(wide + 2, longest if longest <= min(most, _WIDEST_LABEL) else min(longest, _WIDEST_TEXT)))
    header = column_header(picture.column_labels, picture.columns, 1, cell, total, shown_with_rows=picture.square)
    # Numbers in front of the row labels are needed only where the columns are named by number.
    labels = row_labels_of(picture.row_labels, picture.rows, numbered=picture.square and header.by_number)
    return Grid(picture.values_RC, texts, cell, _aligned(labels, margin), header, False, _notes(picture, 1, 1, False))


def _texts(picture: Picture, room: int) -> list[list[str]] | None:
    """What stands in the cells: marks, or the numbers in the longest form that fits; None where nothing fits."""
    if picture.marks is not None:
        texts = [[visible(mark) for mark in row] for row in picture.marks]
        wide = max((width(text) for row in texts for text in row), default=1)
        return texts if picture.columns * (wide + 1) <= room else None
    if not picture.numbers or picture.rows > picture.max_rows or picture.columns > room // 3:
        return None
    flat = picture.values_RC.ravel()
    seen = flat[np.isfinite(flat)]
    if seen.size and seen.min() >= 0 and 0.1 <= seen.max() <= 1:
        two = [fixed(float(value), 2) for value in flat]
        forms = [two, [text.removeprefix("0") for text in two]]
    else:
        forms = [number_column(flat, digits) for digits in (3, 2)]
    for form in forms:
        if picture.columns * (max(map(len, form)) + 1) <= room:
            cells = iter(form)
            return [[next(cells) for _ in range(picture.columns)] for _ in range(picture.rows)]
    return None


def _notes(picture: Picture, row_size: int, column_size: int, halves: bool) -> list[str]:
    notes = []
    if row_size > 1:
        notes.append(fold_note(picture.rows, row_size, picture.fold, picture.row_name, "rows"))
    if column_size > 1:
        notes.append(fold_note(picture.columns, column_size, picture.fold, picture.column_name, "columns"))
    if halves:
        notes.append("each line shows two rows, one above the other; the label is that of the upper")
    down = f"{picture.row_name} down" if picture.row_name != "rows" else ""
    across = f"{picture.column_name} across" if picture.column_name != "columns" else ""
    if down and picture.row_name == picture.column_name:
        down, across = f"the same {picture.row_name} down and across", ""
    return [", ".join(filter(None, (down, across))), *notes] if down or across else notes


def _aligned(labels: list[str], margin: int) -> list[str]:
    wide = min(max(map(width, labels)), margin)
    side: Literal["left", "right"] = "right" if all(label.isdecimal() for label in labels) else "left"
    return [fit(label, wide, side) for label in labels]


def bin_size(count: int, room: int) -> int:
    """How many neighbours one cell must stand for so that `count` fit in `room`; even bins where that costs little."""
    least = -(-count // max(room, 1))
    for size in range(least, least + max(1, least // 3) + 1):
        if count % size == 0:
            return size
    return least


def fold_columns(values_RC: NDArray[np.floating], size: int, how: Fold) -> NDArray[np.floating]:
    """Each `size` columns of `values_RC` as one; NaN (masked) is left out, and NaN where there is nothing else."""
    if size == 1:
        return values_RC
    rows, columns = values_RC.shape
    if how == "thin":
        return values_RC[:, ::size]
    bins = -(-columns // size)
    padded = np.full((rows, bins * size), np.nan, values_RC.dtype)
    padded[:, :columns] = values_RC
    groups = padded.reshape(rows, bins, size)
    seen = ~np.isnan(groups)
    if how == "mean":
        total = np.where(seen, groups, 0).sum(axis=2)
        folded = total / np.maximum(seen.sum(axis=2), 1)
    elif how == "max":
        folded = np.where(seen, groups, -np.inf).max(axis=2)
    else:
        furthest = np.where(seen, np.abs(groups), -1).argmax(axis=2)
        folded = np.take_along_axis(groups, furthest[:, :, None], axis=2)[:, :, 0]
    return np.where(seen.any(axis=2), folded, np.nan)


def fold_rows(values_RC: NDArray[np.floating], size: int, how: Fold) -> NDArray[np.floating]:
    """Each `size` rows of `values_RC` as one, as `fold_columns` does with columns."""
    return fold_columns(values_RC.T, size, how).T


def fold_note(count: int, size: int, how: Fold, things: str, cells: str) -> str:
    """`576 dimensions folded to 64 columns: each shows the mean of 9`."""
    bins, rest = -(-count // size), count % size
    last = f" (the last of {rest})" if rest and how != "thin" else ""
    verb = "thinned" if how == "thin" else "folded"
    return f"{count:,} {things} {verb} to {bins} {cells}: each shows {_CALLED[how]} of {size}{last}"


@dataclass(frozen=True)
class AxisHeader:
    """What stands over the columns (`rulers`) and, where they are numbered, below the picture (`legend`)."""

    rulers: list[Text] = field(default_factory=list)
    legend: list[Text] = field(default_factory=list)
    by_number: bool = False


def row_labels_of(labels: Sequence[str] | None, count: int, *, numbered: bool, step: int = 1) -> list[str]:
    """One label for each `step` rows: that of the first of them, with its number in front where asked for."""
    digits = len(str(count - 1))
    if labels is None:
        return [str(index).rjust(digits) for index in range(0, count, step)]
    shown = list(labels[::step])
    if step > 1 or numbered:
        shown = [f"{index * step:>{digits}} {label}" for index, label in enumerate(shown)]
    return shown


def column_header(
    labels: Sequence[str] | None,
    count: int,
    size: int,
    cell: int,
    total: int,
    *,
    shown_with_rows: bool,
    plain: bool = False,
) -> AxisHeader:
    """The header of `count` columns, each `size` of them one cell that is `cell` wide.

    `shown_with_rows`: the rows carry the same labels with their numbers, so no legend is needed. `plain`: the cells
    hold no text, so that numbers stand at the cell's left edge rather than at its right.
    """
    if labels is not None and size == 1:
        longest = max(map(width, labels))
        if longest < cell or cell > _SHORTEST:
            ruler = Text(no_wrap=True, overflow="crop")
            for label in labels:
                ruler.append(fit(shorten(label, cell - 1) + ("" if plain else " "), cell, "left" if plain else "right"))
            ruler.rstrip()
            return AxisHeader([ruler])
    below = []
    if labels is not None and not shown_with_rows:
        entries = [(str(index), labels[index]) for index in range(0, len(labels), size)]
        below = legend("columns:", entries, total)
    return AxisHeader([_ruler(count, size, cell, plain)], below, by_number=True)


def _ruler(count: int, size: int, cell: int, plain: bool) -> Text:
    """Numbers of columns, as many as fit without touching: each, or every second, fifth, tenth and so on."""
    cells = -(-count // size)
    longest = len(str((cells - 1) * size))
    steps = [step * 10**power for power in range(7) for step in (1, 2, 5)]
    every = next(step for step in steps if step * cell > longest)
    line = ""
    for index in range(0, cells, every):
        text = str(index * size)
        edge = index * cell if plain else (index + 1) * cell - 1 - len(text)
        line = line.ljust(max(edge, len(line))) + text
    return Text(line, theme.QUIET, no_wrap=True, overflow="crop")


def legend(lead: str, entries: Sequence[tuple[str, str]], total: int) -> list[Text]:
    """`lead`, then each entry (its key, its label) in lines of `total` cells; a key and its label stay together."""
    lines = [Text(no_wrap=True, overflow="fold").append(lead, theme.QUIET)]
    for key, label in entries:
        if lines[-1].cell_len > len(lead) and lines[-1].cell_len + width(key) + width(label) + 3 > total:
            lines.append(Text(" " * len(lead), no_wrap=True, overflow="fold"))
        gap = "  " if lines[-1].cell_len > len(lead) else " "
        lines[-1].append(f"{gap}{key} ", theme.QUIET)
        lines[-1].append(label, theme.STRONG)
    return lines
