"""A calculation as on a blackboard: the formula, the formula with the numbers in it, the result, aligned on `=`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def steps(rows: Iterable[Sequence[str]], *, title: str = "", note: str = "") -> Table:
    """Each row is a name and what it equals: its formula, the same with the numbers in it, …, the result.

    `("hidden", "e·W + b", "[0.3, 0.4]·W + [0.5, 0.5]", "[2.0, 2.7]")` becomes

        hidden = e·W + b
               = [0.3, 0.4]·W + [0.5, 0.5]
               = [2.0, 2.7]

    The result, the last of several, stands out. A newline in a part starts a new line in it, as the rows of
    `numbers.matrix` do; a part that is longer than the line is wrapped after its `=`.
    """
    made = Table.grid(padding=(0, 1, 0, 0))
    if title:
        made.title, made.title_justify = Text(visible(title), theme.TITLE), "left"
    if note:
        made.caption, made.caption_justify = Text(visible(note), theme.QUIET), "left"
    made.add_column(no_wrap=True, overflow="ellipsis")
    made.add_column(no_wrap=True, style=theme.QUIET)
    made.add_column(overflow="fold")
    blocks = [(name, parts) for name, *parts in rows]
    # One line each needs no room in between.
    spread = any(len(parts) > 1 or "\n" in parts[0] for _, parts in blocks if parts)
    for index, (name, parts) in enumerate(blocks):
        if index and spread:
            made.add_row()
        if not parts:
            made.add_row(Text(visible(name), theme.NAME))
        for place, part in enumerate(parts):
            result = place == len(parts) - 1 and place > 0
            text = "\n".join(visible(line) for line in part.split("\n"))
            shown = Text(visible(name), theme.NAME) if place == 0 else Text()
            made.add_row(shown, "=", Text(text, theme.STRONG if result else ""))
    return made
