"""A part of a page: its title, what it shows, a remark; each as wide as the page, however narrow the part is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.segment import Segment
from rich.text import Text

from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_GAP = 4
_RIGHT = 60
"""Cells that what stands to the right has at least."""
"""Cells between two parts side by side."""


def section(title: str, *body: RenderableType, note: str = "") -> Group:
    """A title above and a quiet note below; either may be empty."""
    above = [Text(visible(title), theme.TITLE)] if title else []
    below = [Text(visible(note), theme.QUIET)] if note else []
    return Group(*above, *body, *below)


def page(parts: Iterable[RenderableType]) -> Group:
    """Parts under each other, an empty line between two."""
    shown: list[RenderableType] = []
    for part in parts:
        shown += [*([Text()] if shown else []), part]
    return Group(*shown)


class SideBySide:
    """Two renderables side by side where both fit, else one below the other."""

    def __init__(self, left: RenderableType, right: RenderableType) -> None:
        self.left, self.right = left, right

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        half = options.update(width=options.max_width // 2, height=None)
        lines = console.render_lines(self.left, half, pad=False)
        wide = max((Segment.get_line_length(line) for line in lines), default=0)
        rest = options.max_width - wide - _GAP
        # A left part that fills its half would be wider if it could.
        if wide >= half.max_width or rest < _RIGHT:
            yield self.left
            yield Text()
            yield self.right
            return
        beside = console.render_lines(self.right, options.update(width=rest, height=None), pad=False)
        for index in range(max(len(lines), len(beside))):
            line = lines[index] if index < len(lines) else []
            yield from line
            if index < len(beside):
                yield Segment(" " * (wide + _GAP - Segment.get_line_length(line)))
                yield from beside[index]
            yield Segment.line()


def beside(left: RenderableType, right: RenderableType) -> SideBySide:
    """`left` and `right` next to each other where `left` leaves `right` 60 cells, else `right` below."""
    return SideBySide(left, right)
