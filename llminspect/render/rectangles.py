"""Rectangles to one scale, under each other, to see how much larger one thing is than another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions

from llminspect.core.dataclass import dataclass
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import shorten, visible
from llminspect.render.section import Drawn

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


def rectangles(drawn: Sequence[SizedBlock]) -> Drawn:
    """Each with its label above; the widest is as wide as the page, the highest 8 lines high; each cut to an eighth of
    a cell, and never to nothing."""
    widest = max((each.wide for each in drawn), default=1.0) or 1.0
    highest = max((each.high for each in drawn), default=1.0) or 1.0

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
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

    return Drawn(draw, least=20)


def _filled(across: int, up: int) -> Iterator[Text]:
    """`across` and `up` are eighths of a cell. The highest line has whole cells across."""
    full, part = divmod(across, 8)
    side = "█" * full + (_ACROSS[part - 1] if part else "")
    rows, top = divmod(up, 8)
    if top:
        yield Text(_UP[top - 1] * max(1, round(across / 8)) if rows == 0 or full else side, theme.BAR, no_wrap=True)
    for _ in range(rows):
        yield Text(side, theme.BAR, no_wrap=True)
