"""The one table style: a header, a thin line under it, numbers right-aligned, nothing else; and cells of entries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich import box
from rich.console import Console, ConsoleOptions
from rich.containers import Lines
from rich.measure import Measurement
from rich.table import Table

from llminspect.core.numbers import column as number_column
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.prose import Text
from llminspect.render.safe import visible, width
from llminspect.render.section import remark
from llminspect.render.sized_table import BETWEEN, SizedTable

GAP = "  "


class Entries(Text):
    """Entries with a gap between them; with `one_line` as many as fit on one."""

    def __init__(self, entries: Sequence[Text], *, one_line: bool = False) -> None:
        super().__init__()
        self.entries, self.one_line = entries, one_line
        self.longest = max((entry.cell_len for entry in entries), default=0)
        """Cells of the longest entry."""
        self.append_text(Text(GAP).join(entries))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        most = options.max_width
        return Measurement(min(self.longest, most), min(self.cell_len, most))

    def wrap(self, console: Console, width: int, **settings: Any) -> Lines:
        """The lines; an entry that is wider than the width is folded as a text is."""
        filled: list[Text] = []
        for entry in self.entries:
            if filled and filled[-1].cell_len + len(GAP) + entry.cell_len <= width:
                filled[-1].append(GAP).append_text(entry)
            else:
                filled.append(Text().append_text(entry))  # A copy would give its style to those that follow.
        shown = (filled or [Text()])[: 1 if self.one_line else None]
        return Lines(part for line in shown for part in line.wrap(console, width, **settings))


Cell = str | int | float | Text | BarCell | None
"""A string is shown safely, a number formatted with its column, None is –; a Text or a bar is taken as it is."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `align` is by default right for numbers and left for text; `digits` for floats.

    Text that does not fit is folded, nothing lost; numbers are never broken.
    """

    name: str
    align: Literal["left", "right", "center"] | None = None
    digits: int = 4
    spaces: bool = False
    """Show spaces in it as ·, for tokens."""
    quiet: bool = False
    whole: bool = False
    """Never break what it holds, as numbers are never broken."""
    spared: int = 0
    """Where the page is too narrow, the columns with the largest number go first, those with 0 never; a bar has 5."""
    note: str = ""
    """What the note below says of it, where it is shown."""


Columns = list[str | Column | None]


def table(
    columns: Sequence[str | Column | None],
    rows: Iterable[Sequence[Cell]],
    *,
    title: str = "",
    note: str = "",
    strong: Collection[int] = (),
    left_out: tuple[str, ...] = (),
) -> SizedTable:
    """A table. `strong` are the indices of rows to stand out; `note` and those of the columns stand below, quiet.

    A column that is None is left out, with its cell in each row; those of them that a reader may miss are `left_out`.
    """
    body = [list(row) for row in rows]
    made = _framed(title, [note, *(entry.note for entry in columns if isinstance(entry, Column))])
    made.left_out = left_out
    texts: list[list[Text | BarCell]] = []
    spared, room = (0, 0), 0
    for index, entry in enumerate(columns):
        if entry is None:
            continue
        spec = Column(entry) if isinstance(entry, str) else entry
        cells = [row[index] for row in body]
        bars = any(isinstance(cell, BarCell) for cell in cells)
        spared = max(spared, (spec.spared or _BAR_SPARED * bars, index))
        numeric = any(_is_number(cell) for cell in cells) and all(cell is None or _is_number(cell) for cell in cells)
        texts.append(_column_texts(cells, spec))
        name, whole = Text(visible(spec.name)), numeric or spec.whole
        least, broken, most = _sizes(name, texts[-1], whole=whole)
        made.add_column(
            name,
            justify=spec.align or ("right" if numeric else "left"),
            overflow="fold",
            no_wrap=whole,
            min_width=None if whole else min(_FOLDED, _longest_word([name, *texts[-1]])),
            style=theme.QUIET if spec.quiet else None,
        )
        made.least += least + (BETWEEN if len(texts) > 1 else 0)
        made.sizes.append((broken, most))
        enough = most if any(map(_all_shown, texts[-1])) else 2 * _FOLDED
        room += 0 if whole or bars else max(0, min(enough, most) - least)
    for index, cells_of_row in enumerate(zip(*texts, strict=True)):
        made.add_row(*cells_of_row, style=theme.STRONG if index in strong else None)
    if spared[0]:
        # A bar goes before a text beside it is folded to a few cells, or entries at all: these shrink first.
        if any(_all_shown(cell) for cells in texts for cell in cells):
            room += max((cell.cells for cells in texts for cell in cells if isinstance(cell, BarCell)), default=0)
        made.least += room if spared[0] == _BAR_SPARED else 0
        fewer = [None if index == spared[1] else entry for index, entry in enumerate(columns)]
        lacking = (*left_out, *filter(None, [_name(columns[spared[1]])]))
        made.narrower = lambda: table(fewer, body, title=title, note=note, strong=strong, left_out=lacking)
    return made


def _framed(title: str, notes: Iterable[str]) -> SizedTable:
    """A table without columns, its heading above it and what is to be said of it below."""
    made = SizedTable(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
        header_style=theme.HEADER,
        border_style=theme.LINE,
    )
    made.above = Text(visible(title), theme.TITLE) if title else None
    below = "; ".join(filter(None, notes)).replace(".; ", ". ")
    made.below = remark(below) if below else None
    made.sizes = []
    return made


def key_values(pairs: Iterable[tuple[str, Cell]]) -> Table:
    """Names and values under each other, the names quiet. For facts about a model or a run."""
    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True, style=theme.QUIET)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(Text(visible(name)), *_column_texts([value], Column("")))
    return made


def _name(column: str | Column | None) -> str:
    return column.name if isinstance(column, Column) else column or ""


def _sizes(name: Text, texts: Sequence[Text | BarCell], *, whole: bool) -> tuple[int, int, int]:
    """Cells that a column takes at least, with a name that is broken between its words, and at most. It takes at least
    all that it has; of a bar a few, of a text that may be folded its longest word and some room."""
    lines = [max(map(width, text.plain.split("\n"))) if isinstance(text, Text) else text.cells for text in texts]
    bar = SHORTEST_BAR if any(isinstance(text, BarCell) for text in texts) else 0
    most, word, of_name = max([name.cell_len, *lines]), max(bar, _longest_word(texts)), _longest_word([name])
    least = most if whole else max(word, of_name, min(_FOLDED, name.cell_len if bar else most))
    broken = max(lines, default=0) if whole else min(most, _FOLDED, word)
    return least, max(broken, of_name), most


def _all_shown(text: Text | BarCell) -> bool:
    """Whether it is entries that go on in the next line where they do not fit."""
    return isinstance(text, Entries) and not text.one_line


def _longest_word(texts: Iterable[object]) -> int:
    whole = [text.longest for text in texts if isinstance(text, Entries)]
    others = [text for text in texts if isinstance(text, (Text, str)) and not isinstance(text, Entries)]
    words = [width(word) for text in others for word in (text.plain if isinstance(text, Text) else text).split()]
    return max(whole + words, default=0)


SHORTEST_BAR, _FOLDED = 4, 16
_BAR_SPARED = 5


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, (int, float, np.integer, np.floating)) and not isinstance(cell, bool)


def _column_texts(cells: list[Cell], spec: Column) -> list[Text | BarCell]:
    floats = [cell for cell in cells if isinstance(cell, (float, np.floating))]
    written = iter(number_column(floats, spec.digits))
    texts: list[Text | BarCell] = []
    for cell in cells:
        if isinstance(cell, (Text, BarCell)):
            texts.append(cell)
        elif cell is None:
            texts.append(Text("–", theme.QUIET))
        elif isinstance(cell, (float, np.floating)):
            texts.append(Text(next(written)))
        else:
            texts.append(Text(visible(str(cell), spec.spaces), overflow="fold", no_wrap=False))
    return texts
