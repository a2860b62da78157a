"""Rectangles to one scale, under each other, to see how much larger one thing is than another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType

from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import several
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import shorten, visible
from llminspect.render.section import Drawn, remark

_ACROSS = "▏▎▍▌▋▊▉█"
_UP = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class SizedBlock:
    """`wide` units across and `high` units up. The parts of its label stand on one line where there is room, else on a
    line each."""

    label: tuple[str, ...]
    wide: float
    high: float


_LINES = 8


def rectangles(drawn: Sequence[SizedBlock], units: tuple[str, str]) -> Drawn:
    """Each with its label above; the widest is as wide as the page, the highest 8 lines high; each cut to an eighth of
    a cell, and never to nothing. Below, how many of the `units` a cell is, across and up."""
    widest = max((each.wide for each in drawn), default=1.0) or 1.0
    highest = max((each.high for each in drawn), default=1.0) or 1.0

    def draw(_: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        columns = min(100, options.max_width)
        for index, each in enumerate(drawn):
            if index:
                yield Text()
            one_line = "   ".join(each.label)
            for label in [one_line] if cell_len(visible(one_line)) <= options.max_width else each.label:
                yield Text(shorten(visible(label), options.max_width), no_wrap=True)
            across = max(1, round(each.wide / widest * columns * 8))
            up = max(1, round(each.high / highest * _LINES * 8))
            yield from _filled(across, up)
        cell = (
            f"{several(round(widest / columns), units[0])} across and {several(round(highest / _LINES), units[1])} up"
        )
        yield remark(f"All to one scale: █ is about {cell}; sides are rounded to an eighth of it, corners to a half.")

    return Drawn(draw, least=20)


def _corner(across: int, up: int) -> str:
    """The sign nearest to so many eighths across and up: there is none of both, but a half of each."""
    if across < 2:
        return ""
    return _UP[up - 1] if across > 6 else _ACROSS[across - 1] if up > 6 else "▖" if up > 1 else "▁"


def _filled(across: int, up: int) -> Iterator[Text]:
    """`across` and `up` are eighths of a cell."""
    full, part = divmod(across, 8)
    side = "█" * full + (_ACROSS[part - 1] if part else "")
    rows, top = divmod(up, 8)
    if top:
        yield Text(_UP[top - 1] * full + _corner(part, top) if full else _UP[top - 1], theme.BAR, no_wrap=True)
    for _ in range(rows):
        yield Text(side, theme.BAR, no_wrap=True)
