"""Pairs of numbers as the hands of a clock, to see that one angle grew and another stayed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.style import Style

from llminspect.core.dataclass import dataclass
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import fit, label
from llminspect.render.section import Drawn

_COLUMNS, _ROWS = 25, 11
"""The cells of a clock; a cell holds 2 × 4 dots, which stand about as far apart across as up."""
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of a braille character the bit of each dot, row by row."""
_GAP = 4
_STYLES = (theme.BAR_CHOSEN, theme.BAR)


@dataclass(frozen=True)
class Hand:
    """From the middle to (x, y): x to the right, y up."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Clock:
    """Some hands under one title."""

    title: str
    hands: Sequence[Hand]


def clocks(drawn: Sequence[Clock]) -> Drawn:
    """Clocks side by side, below each other where there is no room; the longest hand of all reaches the rim."""
    longest = max((math.hypot(hand.x, hand.y) for clock in drawn for hand in clock.hands), default=0.0) or 1.0

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        across = max(1, (options.max_width + _GAP) // (_COLUMNS + _GAP))
        for start in range(0, len(drawn), across):
            blocks = [list(_lines(clock, longest)) for clock in drawn[start : start + across]]
            for parts in zip_longest(*blocks):
                line = Text(" " * _GAP, no_wrap=True, overflow="crop").join(parts)
                line.rstrip()
                yield line

    return Drawn(draw, least=_COLUMNS)


def _lines(clock: Clock, longest: float) -> Iterator[Text]:
    yield Text(fit(label(clock.title), _COLUMNS), theme.QUIET)
    dots: dict[tuple[int, int], int] = {}
    looks: dict[tuple[int, int], Style] = {}
    radius, middle = min(_COLUMNS * 2, _ROWS * 4) / 2 - 3, (_COLUMNS * 2 // 2, _ROWS * 4 // 2)

    def dot(across: float, up: float, style: Style) -> None:
        x, y = round(middle[0] + across), round(middle[1] - up)
        cell = (x // 2, y // 4)
        dots[cell] = dots.get(cell, 0) | _BITS[y % 4][x % 2]
        looks[cell] = style

    for step in range(48):
        angle = step / 48 * math.tau
        dot(radius * math.cos(angle), radius * math.sin(angle), theme.LINE)
    tips: dict[tuple[int, int], str] = {}  # Without the colour of the hand, which is read less well than seen.
    for place, hand in enumerate(clock.hands):
        style, reach = _STYLES[place % len(_STYLES)], radius / longest
        for step in range(int(4 * radius) + 1):
            share = step / int(4 * radius)
            dot(hand.x * reach * share, hand.y * reach * share, style)
        length = math.hypot(hand.x, hand.y) or 1.0
        out = reach + 2.5 / length
        tips[round((middle[0] + hand.x * out - 1) / 2), round((middle[1] - hand.y * out - 2) / 4)] = hand.name
    for row in range(_ROWS):
        line, column = Text(no_wrap=True, overflow="crop"), 0
        while column < _COLUMNS:
            cell = (column, row)
            name = tips.get(cell, "")
            if name and column + cell_len(name) <= _COLUMNS:
                line.append(name, theme.STRONG)
                column += cell_len(name)
                continue
            line.append(chr(0x2800 + dots[cell]) if cell in dots else " ", looks.get(cell, Style()))
            column += 1
        yield line
