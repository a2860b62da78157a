"""A part of a page: its title, what it shows, a remark; each as wide as the page, however narrow the part is."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import Group
from rich.segment import Segment
from rich.text import Text

from llminspect.render import theme
from llminspect.render.drawn import Drawn
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

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


def beside(left: RenderableType, right: RenderableType) -> Drawn:
    """`left` and `right` next to each other where `left` leaves `right` 60 cells, else `right` below."""

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        half = options.update(width=options.max_width // 2, height=None)
        lines = console.render_lines(left, half, pad=False)
        wide = max((Segment.get_line_length(line) for line in lines), default=0)
        rest = options.max_width - wide - _GAP
        # A left part that fills its half would be wider if it could.
        if wide >= half.max_width or rest < _RIGHT:
            yield from (left, Text(), right)
            return
        others = console.render_lines(right, options.update(width=rest, height=None), pad=False)
        for line, other in zip_longest(lines, others):
            yield from line or []
            if other is not None:
                yield Segment(" " * (wide + _GAP - Segment.get_line_length(line or [])))
                yield from other
            yield Segment.line()

    return Drawn(draw)
