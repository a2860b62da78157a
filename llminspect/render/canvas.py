"""A rectangle of terminal cells to draw on, which knows where something stands already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator


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
