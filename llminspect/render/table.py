"""The one table style: a header, a thin line under it, numbers right-aligned, nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from llminspect.core.numbers import column as number_column
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.safe import visible

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


Columns = list[str | Column | None]


def table(
    columns: Sequence[str | Column | None],
    rows: Iterable[Sequence[Cell]],
    *,
    title: str = "",
    note: str = "",
    strong: Collection[int] = (),
) -> Table:
    """A table. `strong` are the indices of rows to stand out; `note` stands below in a quiet line.

    A column that is None is left out, with its cell in each row.
    """
    body = [list(row) for row in rows]
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
        header_style=theme.HEADER,
        border_style=theme.QUIET,
        title=Text(visible(title), theme.TITLE) if title else None,
        title_justify="left",
        caption=Text(visible(note), theme.QUIET) if note else None,
        caption_justify="left",
    )
    texts = []
    for index, entry in enumerate(columns):
        if entry is None:
            continue
        spec = Column(entry) if isinstance(entry, str) else entry
        cells = [row[index] for row in body]
        numeric = any(_is_number(cell) for cell in cells) and all(cell is None or _is_number(cell) for cell in cells)
        made.add_column(
            Text(visible(spec.name)),
            justify=spec.align or ("right" if numeric else "left"),
            overflow="fold",
            no_wrap=numeric,
            style=theme.QUIET if spec.quiet else None,
        )
        texts.append(_column_texts(cells, spec))
    for index, cells_of_row in enumerate(zip(*texts, strict=True)):
        made.add_row(*cells_of_row, style=theme.STRONG if index in strong else None)
    return made


def key_values(pairs: Iterable[tuple[str, Cell]]) -> Table:
    """Names and values under each other, the names quiet. For facts about a model or a run."""
    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True, style=theme.QUIET)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(Text(visible(name)), *_column_texts([value], Column("")))
    return made


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
