"""A rendering as shapes on a grid of cells: what a picture of a terminal is made of.

Letters stay letters. Blocks, shades, braille and lines become rectangles and dots, so that they meet without gaps
whatever the font.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from llminspect.core.dataclass import dataclass
from llminspect.render.theme import RGB

Theme = Literal["dark", "light"]

_DARK = [(69, 71, 90), (243, 139, 168), (166, 227, 161), (249, 226, 175), (137, 180, 250), (203, 166, 247)]
_LIGHT = [(60, 60, 67), (180, 40, 60), (30, 120, 50), (140, 90, 0), (30, 80, 180), (120, 50, 160)]
THEMES = {
    "dark": TerminalTheme((17, 19, 24), (222, 224, 230), [*_DARK, (148, 226, 213), (222, 224, 230)]),
    "light": TerminalTheme((255, 255, 255), (28, 30, 36), [*_LIGHT, (0, 120, 120), (28, 30, 36)]),
}

_LEFT, _LOWER = "▏▎▍▌▋▊▉█", "▁▂▃▄▅▆▇█"
_SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75}
# The dots of a braille character by the bits of its code: column, row.
_DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
# By which of left, right, up, down a line leaves its cell.
_LINES = dict(zip("─│┌┐└┘├┤┬┴┼", "lr ud rd ld ru lu rud lud lrd lru lrud".split(), strict=True))
_HEAVY = dict(zip("━┃┏┓┗┛", "lr ud rd ld ru lu".split(), strict=True))
_DASHED = {"╌": 2, "╎": 2, "┈": 4, "┊": 4}
"""Dashes in a cell, across or down."""
_ACROSS = "╌┈"
_THICK = 0.06
"""Of a line, in cells; a heavy one has twice that."""


@dataclass(frozen=True)
class Rectangle:
    """In cells, from the upper left corner."""

    left: float
    top: float
    width: float
    height: float
    color: RGB


@dataclass(frozen=True)
class Dot:
    """Its middle, in cells."""

    x: float
    y: float
    color: RGB


@dataclass(frozen=True)
class Letters:
    """A run of text in one style that starts at a column and is so many cells wide."""

    text: str
    column: int
    row: int
    cells: int
    color: RGB
    bold: bool
    italic: bool


@dataclass(frozen=True)
class Curve:
    """A line from one point to another, upright at both ends; in cells, as thick as so many cells are wide."""

    x: float
    y: float
    to_x: float
    to_y: float
    thick: float = 0.1
    color: RGB = (0, 0, 0)
    dashed: bool = False
    title: str = ""
    """What a pointer on it is told."""

    def points(self, steps: int) -> Iterator[tuple[float, float]]:
        """Points along it: those of the cubic curve with both middle points half way down."""
        for step in range(steps + 1):
            share = step / steps
            bent = share * share * (3 - 2 * share)
            down = 1.5 * share * (1 - share) + share**3
            yield self.x + (self.to_x - self.x) * bent, self.y + (self.to_y - self.y) * down


Shape = Rectangle | Dot | Letters | Curve


class PictureConsole(Console):
    """One whose lines become shapes: a segment whose style has a `curve` among its meta data gives that."""


def hexadecimal(color: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def unseen(width: int, kind: type[Console] = Console, *, colors: bool = True) -> Console:
    """A console that shows nothing and records what is printed on it."""
    return kind(
        record=True,
        file=io.StringIO(),
        width=width,
        force_terminal=colors,
        no_color=not colors,
        color_system="truecolor" if colors else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def shapes(rendering: RenderableType, width: int, theme: Theme) -> tuple[list[Shape], int]:
    """What to draw of a rendering in `width` columns, backgrounds first, and its number of rows."""
    lines = unseen(width, PictureConsole).render_lines(rendering, pad=False)
    while lines and all(not text.strip() and not (style and style.bgcolor) for text, style, _ in lines[-1]):
        lines.pop()
    found: list[Shape] = []
    for row, line in enumerate(lines):
        grid = _Row(row, theme)
        of_row = list(_joined(grid.shapes(line)))
        found += sorted(of_row, key=lambda shape: not (isinstance(shape, Rectangle) and shape.height == 1))
    return found, max(len(lines), 1)


def _joined(found: Iterator[Shape]) -> Iterator[Shape]:
    """The same with rectangles in one where they touch and are alike."""
    last: Rectangle | None = None
    for shape in found:
        if not isinstance(shape, Rectangle):
            yield shape
            continue
        touches = last is not None and abs(last.left + last.width - shape.left) < 1e-9
        if last is not None and touches and replace(last, left=shape.left, width=shape.width) == shape:
            last = replace(last, width=last.width + shape.width)
        else:
            if last is not None:
                yield last
            last = shape
    if last is not None:
        yield last


class _Row:
    """One row of cells."""

    def __init__(self, row: int, theme: Theme) -> None:
        self.row, self.theme = row, THEMES[theme]

    def shapes(self, segments: list[Segment]) -> Iterator[Shape]:
        column = 0
        for text, style, _ in segments:
            ink, paper = self._colors(style)
            if style and (curve := style.meta.get("curve")) is not None:
                yield replace(curve, y=self.row + curve.y, to_y=self.row + curve.to_y, color=ink)
            width = cell_len(text)
            if paper is not None and width:
                yield Rectangle(column, self.row, width, 1, paper)
            yield from self._drawn(text, column, ink, paper or self._ground(), style)
            column += width

    def _drawn(self, text: str, column: int, ink: RGB, paper: RGB, style: Style | None) -> Iterator[Shape]:
        start, run = column, ""
        bold, italic = bool(style and style.bold), bool(style and style.italic)
        for character in text:
            parts = list(self._picture(character, column, ink, paper))
            if parts or character in " \u00a0":
                if run:
                    yield Letters(run, start, self.row, column - start, ink, bold, italic)
                run = ""
                yield from parts
            else:
                start = start if run else column
                run += character
            column += cell_len(character)
        if run:
            yield Letters(run, start, self.row, column - start, ink, bold, italic)

    def _picture(self, character: str, column: int, ink: RGB, paper: RGB) -> Iterator[Shape]:
        """The shapes of a character that is a picture; none of a letter."""
        row = self.row
        if character in _LEFT:
            yield Rectangle(column, row, (_LEFT.index(character) + 1) / 8, 1, ink)
        elif character in _LOWER:
            height = (_LOWER.index(character) + 1) / 8
            yield Rectangle(column, row + 1 - height, 1, height, ink)
        elif character == "▐":
            yield Rectangle(column + 0.5, row, 0.5, 1, ink)
        elif character == "▀":
            yield Rectangle(column, row, 1, 0.5, ink)
        elif character in _SHADES:
            yield Rectangle(column, row, 1, 1, _mixed(paper, ink, _SHADES[character]))
        elif "\u2800" <= character <= "\u28ff":
            for bit, (across, down) in enumerate(_DOTS):
                if (ord(character) - 0x2800) >> bit & 1:
                    yield Dot(column + (2 * across + 1) / 4, row + (2 * down + 1) / 8, ink)
        elif character in _LINES:
            yield from self._lines(_LINES[character], column, ink, _THICK)
        elif character in _HEAVY:
            yield from self._lines(_HEAVY[character], column, ink, 2 * _THICK)
        elif character in _DASHED:
            parts = _DASHED[character]
            for start in ((part + 0.25) / parts for part in range(parts)):
                if character in _ACROSS:
                    yield Rectangle(column + start, row + 0.5, 0.5 / parts, _THICK, ink)
                else:
                    yield Rectangle(column + 0.5, row + start, 2 * _THICK, 0.5 / parts, ink)

    def _lines(self, ends: str, column: int, ink: RGB, thick: float) -> Iterator[Shape]:
        # A cell is about twice as high as wide: lines of equal thickness are thinner in its height.
        x, y = 0.5 - (thick - _THICK), 0.5 - (thick - _THICK) / 2
        if set("lr") & set(ends):
            left, right = (0 if "l" in ends else x), (1 if "r" in ends else x + 2 * thick)
            yield Rectangle(column + left, self.row + y, right - left, thick, ink)
        if set("ud") & set(ends):
            top, bottom = (0 if "u" in ends else y), (1 if "d" in ends else y + thick)
            yield Rectangle(column + x, self.row + top, 2 * thick, bottom - top, ink)

    def _colors(self, style: Style | None) -> tuple[RGB, RGB | None]:
        ink = self._rgb(style.color if style else None, foreground=True)
        paper = self._rgb(style.bgcolor, foreground=False) if style and style.bgcolor else None
        if style and style.reverse:
            ink, paper = paper or self._ground(), ink
        if style and style.dim:
            ink = _mixed(ink, paper or self._ground(), 0.4)
        return ink, paper

    def _ground(self) -> RGB:
        return self._rgb(None, foreground=False)

    def _rgb(self, color: Color | None, *, foreground: bool) -> RGB:
        found: Any = (color or Color.default()).get_truecolor(self.theme, foreground)
        return found.red, found.green, found.blue


def _mixed(one: RGB, other: RGB, share: float) -> RGB:
    """`one` with a share of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
