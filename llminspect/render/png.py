"""A rendering as PNG, drawn by Pillow.

For a character that no font here has a sign like it is drawn, or its number in a frame, and it is named to whoever
wants to know: where a browser shows an SVG it may well have a font for it.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

from rich.cells import cell_len
from rich.console import RenderableType

from llminspect.core.nearest import NEAREST
from llminspect.errors import UserError
from llminspect.render.cells import THEMES, Curve, Dot, Letters, Rectangle, Theme, hexadecimal, shapes

CELL_WIDTH, CELL_HEIGHT, MARGIN = 17, 36, 28
"""In pixels: twice what a screen of common density shows."""
_SIZE, _BASELINE = 28, 0.75
_STEPS, _FINER = 48, 4
"""Straight parts of a curve, and how many times as fine as the picture it is drawn, for its edges to be smooth."""
_DASH, _GAP = 10, 6
_Point = tuple[float, float]
_MOST_CELLS = 200_000
"""A picture of so many is 370 MB of pixels while it is made."""
_FONTS = ("DejaVuSansMono{}.ttf", "NotoSansMono-{}.ttf", "LiberationMono-{}.ttf", "Menlo.ttc", "consola.ttf")
_OTHERS = (
    "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc",
    "msyh.ttc", "malgun.ttf", "NotoEmoji-Regular.ttf", "Symbola.ttf", "seguisym.ttf", "Apple Symbols.ttf",
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf",
)  # fmt: skip
"""For characters that the first does not have: of many languages, and of symbols in one colour."""
_NOWHERE = "\U0010ffff"
"""No character, so that no font has it."""
_SLIM = 0.62
"""Width of a digit as a share of its font's size."""
_NAMED = 5
"""Characters without a font that are named; of more their number."""


def png(
    rendering: RenderableType, width: int, theme: Theme, note: Callable[[str], object] = lambda text: None
) -> bytes:
    """The rendering in `width` columns as PNG; `note` is called where characters are shown as numbers. Raises UserError
    without Pillow, and for too many rows."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        message = "a PNG needs Pillow, which is not installed"
        raise UserError(message, "pip install 'llminspect-cli[png]', or save .svg") from None

    found, rows = shapes(rendering, width, theme)
    if rows * width > _MOST_CELLS:
        raise UserError(f"{rows:,} rows of {width} columns are too many for a PNG", "save .svg, .html or .txt")
    size = (width * CELL_WIDTH + 2 * MARGIN, rows * CELL_HEIGHT + 2 * MARGIN)
    image = Image.new("RGB", size, THEMES[theme].background_color.hex)
    draw, unknown = ImageDraw.Draw(image), dict[str, None]()
    for shape in found:
        if isinstance(shape, Rectangle):
            _rectangle(draw, shape)
        elif isinstance(shape, Dot):
            x, y = _pixels(shape.x, shape.y)
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=hexadecimal(shape.color))
        elif isinstance(shape, Curve):
            _curve(image, shape)
        else:
            unknown |= dict.fromkeys(_letters(draw, shape))
    if unknown:
        note(_without_font([*unknown]))
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def _pixels(column: float, row: float) -> tuple[int, int]:
    return MARGIN + round(column * CELL_WIDTH), MARGIN + round(row * CELL_HEIGHT)


def _rectangle(draw: Any, shape: Rectangle) -> None:
    left, top = _pixels(shape.left, shape.top)
    right, bottom = _pixels(shape.left + shape.width, shape.top + shape.height)
    draw.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), fill=hexadecimal(shape.color))


def _curve(image: Any, shape: Curve) -> None:
    from PIL import Image, ImageDraw

    points = [(MARGIN + x * CELL_WIDTH, MARGIN + y * CELL_HEIGHT) for x, y in shape.points(_STEPS)]
    thick = max(1.0, shape.thick * CELL_WIDTH)
    across, down = zip(*points, strict=True)
    left, top = math.floor(min(across) - thick), math.floor(min(down) - thick)
    size = math.ceil(max(across) + thick) - left, math.ceil(max(down) + thick) - top
    fine = Image.new("L", (size[0] * _FINER, size[1] * _FINER))
    for part in _dashes(points) if shape.dashed else [points]:
        line = [((x - left) * _FINER, (y - top) * _FINER) for x, y in part]
        ImageDraw.Draw(fine).polygon(_outline(line, thick * _FINER / 2), fill=255)
    image.paste(hexadecimal(shape.color), (left, top), fine.reduce(_FINER))


def _outline(line: list[_Point], half: float) -> list[_Point]:
    """Both sides of a line, so far from it: across the way from the point before each to the one after it."""
    sides: tuple[list[_Point], list[_Point]] = ([], [])
    for at, (x, y) in enumerate(line):
        (from_x, from_y), (to_x, to_y) = line[max(at - 1, 0)], line[min(at + 1, len(line) - 1)]
        length = math.dist((from_x, from_y), (to_x, to_y)) or 1.0
        across, down = half * (to_y - from_y) / length, half * (from_x - to_x) / length
        sides[0].append((x + across, y + down))
        sides[1].append((x - across, y - down))
    return sides[0] + sides[1][::-1]


def _dashes(points: list[_Point]) -> list[list[_Point]]:
    """The parts of a line that are drawn where it is dashed."""
    parts: list[list[_Point]] = [points[:1]]
    length = 0.0
    for start, end in pairwise(points):
        length += math.dist(start, end)
        if length % (_DASH + _GAP) < _DASH:
            parts[-1].append(end)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if len(part) > 1]


def _letters(draw: Any, shape: Letters) -> Iterator[str]:
    """Each letter in the middle of its own cells: so columns stay columns in any font. Gives those that no font has."""
    column, color = shape.column, hexadecimal(shape.color)
    for letter in _with_marks(shape.text):
        cells = cell_len(letter)
        for character in unicodedata.normalize("NFC", letter):
            drawn, font = _drawn_as(character, shape.bold)
            if drawn != character:
                yield character
            if font is None:
                _number(draw, character, (column, shape.row), cells, color)
            else:
                place = _pixels(column + cells / 2, shape.row + _BASELINE)
                draw.text(place, drawn, fill=color, font=font, anchor="ms")
        column += cells


def _with_marks(text: str) -> Iterator[str]:
    """Its letters, each with the marks that stand on it."""
    letter = ""
    for character in text:
        if letter and cell_len(character):
            yield letter
            letter = ""
        letter += character
    yield letter


def _number(draw: Any, character: str, at: tuple[int, int], cells: int, color: str) -> None:
    """The number of a character in its cells, in a frame: its digits in two rows."""
    digits = f"{ord(character):04X}"
    half = -(-len(digits) // 2)
    left, top = _pixels(*at)
    wide, high = max(1, cells) * CELL_WIDTH - 2, CELL_HEIGHT - 4
    draw.rectangle((left + 1, top + 2, left + wide, top + high), outline=color)
    font = _first_font(False, int(min(high / 2, (wide - 2) / half / _SLIM)))
    for row, part in enumerate((digits[:half], digits[half:])):
        middle = (left + 1 + wide / 2, top + 2 + high * (0.27 + 0.46 * row))
        draw.text(middle, part, fill=color, font=font, anchor="mm")


def _without_font(characters: list[str]) -> str:
    """What to say of characters that are shown as their numbers."""
    named = ", ".join(f"{character} (U+{ord(character):04X})" for character in characters[:_NAMED])
    more = len(characters) - _NAMED
    named += f" and {more:,} more" if more > 0 else ""
    return f"no font here has {named}: the PNG has signs like them, or their numbers; a saved .svg or .html keeps them"


@lru_cache(maxsize=4096)
def _drawn_as(character: str, bold: bool) -> tuple[str, Any]:
    """The character, one like it, or its letter without marks, with the first font that has it; or "" and None."""
    fonts = (_first_font(bold, _SIZE), *(() if character.isascii() else _other_fonts()))
    like = (
        character,
        *NEAREST.get(character, ""),
        unicodedata.normalize("NFD", character)[0],
    )
    pairs = ((one, font) for one in like for font in fonts if _has(font, one))
    return next(pairs, ("", None))


def _has(font: Any, character: str) -> bool:
    """Whether a font has a picture of its own of a character, other than the one that it shows of what it lacks."""
    drawn, lacking = (font.getmask(text) for text in (character, _NOWHERE))
    return bool(drawn.size != lacking.size or bytes(drawn) != bytes(lacking))


@lru_cache(maxsize=1)
def _other_fonts() -> list[Any]:
    from PIL import ImageFont

    found = []
    for name in _OTHERS:
        try:
            found.append(ImageFont.truetype(name, _SIZE))
        except OSError:
            continue
    return found


@lru_cache(maxsize=16)
def _first_font(bold: bool, size: int) -> Any:
    """A font of the system in which every letter has the same width, else the one that comes with Pillow."""
    from PIL import ImageFont

    for name in _FONTS:
        for weight in ("-Bold", "Bold") if bold else ("", "Regular"):
            try:
                return ImageFont.truetype(name.format(weight), size)
            except OSError:
                continue
    return ImageFont.load_default(size)
