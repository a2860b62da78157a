"""A rendering as PNG, drawn by Pillow."""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import pairwise
from typing import Any

from rich.cells import cell_len
from rich.console import RenderableType

from llminspect.errors import UserError
from llminspect.render.cells import THEMES, Curve, Dot, Letters, Rectangle, Theme, hexadecimal, shapes

CELL_WIDTH, CELL_HEIGHT, MARGIN = 17, 36, 28
"""In pixels: twice what a screen of common density shows."""
_SIZE, _BASELINE = 28, 0.75
_STEPS = 24
"""Straight parts of a curve."""
_MOST_CELLS = 200_000
"""A picture of so many is 370 MB of pixels while it is made."""
_FONTS = ("DejaVuSansMono{}.ttf", "NotoSansMono-{}.ttf", "LiberationMono-{}.ttf", "Menlo.ttc", "consola.ttf")


def png(rendering: RenderableType, width: int, theme: Theme) -> bytes:
    """The rendering in `width` columns as PNG. Raises UserError without Pillow, and for too many rows."""
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
    draw = ImageDraw.Draw(image)
    for shape in found:
        if isinstance(shape, Rectangle):
            _rectangle(draw, shape)
        elif isinstance(shape, Dot):
            x, y = _pixels(shape.x, shape.y)
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=hexadecimal(shape.color))
        elif isinstance(shape, Curve):
            _curve(draw, shape)
        else:
            _letters(draw, shape)
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def _pixels(column: float, row: float) -> tuple[int, int]:
    return MARGIN + round(column * CELL_WIDTH), MARGIN + round(row * CELL_HEIGHT)


def _rectangle(draw: Any, shape: Rectangle) -> None:
    left, top = _pixels(shape.left, shape.top)
    right, bottom = _pixels(shape.left + shape.width, shape.top + shape.height)
    draw.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), fill=hexadecimal(shape.color))


def _curve(draw: Any, shape: Curve) -> None:
    points = [_pixels(*point) for point in shape.points(_STEPS)]
    thick = max(1, round(shape.thick * CELL_WIDTH))
    for step, pair in enumerate(pairwise(points)):
        if not (shape.dashed and step // 2 % 2):
            draw.line(pair, fill=hexadecimal(shape.color), width=thick, joint="curve")


def _letters(draw: Any, shape: Letters) -> None:
    """Each letter in the middle of its own cell: so columns stay columns in any font."""
    column = shape.column
    for character in shape.text:
        cells = cell_len(character)
        place = _pixels(column + cells / 2, shape.row + _BASELINE)
        draw.text(place, character, fill=hexadecimal(shape.color), font=_font(shape.bold), anchor="ms")
        column += cells


@lru_cache(maxsize=2)
def _font(bold: bool) -> Any:
    """A font of the system in which every letter has the same width, else the one that comes with Pillow."""
    from PIL import ImageFont

    for name in _FONTS:
        for weight in ("-Bold", "Bold") if bold else ("", "Regular"):
            try:
                return ImageFont.truetype(name.format(weight), _SIZE)
            except OSError:
                continue
    return ImageFont.load_default(_SIZE)
