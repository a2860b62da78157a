"""A table in the room that there is: how it stands closer, which columns it leaves out, and what it says of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from llminspect.render.bars import BarCell
from llminspect.render.prose import Text
from llminspect.render.section import Drawn, remark

BETWEEN = 3
"""Cells between two columns."""


class SizedTable(Table):
    """A table that knows what it needs, with a heading and a note that are as wide as the page."""

    least = 0
    """Cells across that it takes without breaking a number, a word, or what is to stay whole."""
    above: Text | None = None
    below: Drawn | None = None
    narrower: Callable[[], SizedTable] | None = None
    """The same without the column that is missed least."""
    left_out: tuple[str, ...] = ()
    """Names of the columns that it lacks. That of a bar has none, since the number it repeats stands beside it."""
    sizes: list[tuple[int, int]]
    """Of each column the cells that it takes at least where its name may be broken between words, and all it has."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _chosen([[self]], console, options)

    def ways(self) -> Iterator[SizedTable]:
        """The table, then with ever fewer columns."""
        made: SizedTable | None = self
        while made is not None:
            yield made
            made = made.narrower() if made.narrower is not None else None

    def fitting(self, cells: int) -> SizedTable:
        """With as many columns as have room."""
        shown = self
        for shown in self.ways():
            if shown.least <= cells:
                break
        return shown

    def drawn(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """With all its columns."""
        narrow = self.least > options.max_width
        if self.above:
            yield self.above
        tight = self._tight(options.max_width) if narrow or self._too_wide(console, options) else self
        if tight is None:
            yield from self._below_one_another()
        else:
            yield from Table.__rich_console__(tight, console, options)
        if self.below:
            yield self.below

    def _calculate_column_widths(self, console: Console, options: ConsoleOptions) -> list[int]:
        # Those of bars are as wide as each other, since the bars of a row are compared.
        bars = [at for at, column in enumerate(self.columns) if any(isinstance(cell, BarCell) for cell in column.cells)]
        widths, last = super()._calculate_column_widths(console, options), len(self.columns) - 1
        _, right, _, left = self.padding
        beside = [left * (index > 0) + right * (index < last) for index in range(last + 1)]
        shortest = min((widths[at] - beside[at] for at in bars), default=0)
        for at in bars:
            widths[at] = shortest + beside[at]
        return widths

    def _too_wide(self, console: Console, options: ConsoleOptions) -> bool:
        """Whether rich, which shortens all columns alike and then widens some again, takes more than the line."""
        room = options.max_width - self._extra_width
        at_ease = sum(most for _, most in self.sizes) + BETWEEN * (len(self.sizes) - 1) <= options.max_width
        return not at_ease and sum(self._calculate_column_widths(console, options.update_width(room))) > room

    def _tight(self, cells: int) -> SizedTable | None:
        """The same with columns that stand closer together, their names broken; None where they do not fit even so."""
        between = len(self.sizes) - 1
        rest = cells - sum(least for least, _ in self.sizes) - between
        if rest < 0:
            return None
        made = copy(self)
        made.columns = [copy(column) for column in self.columns]
        gap = min(BETWEEN, 1 + rest // max(between, 1))
        made.padding = (0, gap - 1, 0, 0)
        rest -= (gap - 1) * between
        sized = zip(made.columns, self.sizes, strict=True)
        for column, (least, most) in sorted(sized, key=lambda one: one[1][1] - one[1][0]):
            more = min(rest, most - least)
            column.width, column.no_wrap, column.min_width = least + more, False, None
            rest -= more
        return made

    def _below_one_another(self) -> Iterator[Text]:
        """Each cell with the name of its column in front, an empty line between two rows; bars were left out before."""
        names = [column.header for column in self.columns if isinstance(column.header, Text)]
        longest = max((name.cell_len for name in names), default=0)
        for index, cells in enumerate(zip(*(column.cells for column in self.columns), strict=True)):
            if index:
                yield Text()
            for name, cell in zip(names, cells, strict=True):
                if isinstance(cell, Text) and cell:
                    yield Text.assemble(name, " " * (longest - name.cell_len + 2), cell, overflow="fold")


def first_fitting(*ways: Sequence[SizedTable]) -> Drawn:
    """The first of several ways to show the same, in one table or more, that fits; else the last."""
    return Drawn(lambda console, options: _chosen(ways, console, options))


def _chosen(ways: Sequence[Sequence[SizedTable]], console: Console, options: ConsoleOptions) -> Iterator[Any]:
    """What fits of several ways, and which columns are left out."""
    for index, made in enumerate(_fitting(ways, options.max_width)):
        if index:
            yield Text()
        yield from made.drawn(console, options)
        if made.left_out:
            line = f"Left out at this width: {', '.join(made.left_out)}"
            # How much room a part of a page has is not known at other widths.
            enough = _enough(ways, options.max_width) if options.max_width == console.width else None
            # One of several can be shown before the others.
            which = "all shown" if len(made.left_out) > 1 else "shown"
            yield remark(f"{line}; {which} from width {enough}." if enough else f"{line}.")


def _fitting(ways: Sequence[Sequence[SizedTable]], cells: int) -> list[SizedTable]:
    fits = (way for way in ways if all(made.least <= cells for made in way))
    return [made.fitting(cells) for made in next(fits, ways[-1])]


def _enough(ways: Sequence[Sequence[SizedTable]], cells: int) -> int | None:
    """The least width above `cells` at which no column is left out."""
    leasts = {made.least for way in ways for one in way for made in one.ways()}
    wider = sorted(least for least in leasts if least > cells)
    return next((least for least in wider if not any(made.left_out for made in _fitting(ways, least))), None)
