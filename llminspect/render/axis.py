"""The labels on the two axes of a heatmap: written out where they fit, otherwise numbered, with a legend.

The labels that come in here have been made `visible` already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text

from llminspect.render import theme
from llminspect.render.safe import fit, shorten, width

_SHORTEST = 6
"""A label may be cut to so many cells before it is numbered instead."""


@dataclass(frozen=True, slots=True)
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
