"""A rendering as a file that needs nothing else: SVG, HTML and plain text, dark or light, without fonts from a network.

The fonts are those of the reader's system, by name.
"""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING

from rich.console import Console

from llminspect.render.cells import THEMES, Dot, Letters, Rectangle, Shape, Theme, hexadecimal, shapes

if TYPE_CHECKING:
    from rich.console import RenderableType

FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"

_WIDTH, _HEIGHT, _MARGIN, _SIZE, _BASELINE = 8.4, 18.0, 14.0, 14, 0.75
"""Of a cell of an SVG, in pixels, and where in its height letters stand."""

_HTML = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>llminspect</title>\n<style>\n'
    "body {{ margin: 1.5em; color: {foreground}; background: {background}; }}\n"
    f"pre {{{{ font: 14px/1.25 {FONTS}; margin: 0; }}}}\n"
    "{stylesheet}\n</style>\n</head>\n<body>\n<pre>{code}</pre>\n</body>\n</html>\n"
)


def svg(rendering: RenderableType, width: int, theme: Theme) -> str:
    """The rendering in `width` columns as SVG."""
    found, rows = shapes(rendering, width, theme)
    size = f"{_short(width * _WIDTH + 2 * _MARGIN)} {_short(rows * _HEIGHT + 2 * _MARGIN)}"
    across, down = size.split()
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}" viewBox="0 0 {size}">',
            f'<rect width="{across}" height="{down}" rx="6" fill="{THEMES[theme].background_color.hex}"/>',
            f'<g font-family="{FONTS}" font-size="{_SIZE}" transform="translate({_short(_MARGIN)} {_short(_MARGIN)})">',
            *(_element(shape) for shape in found),
            "</g>\n</svg>\n",
        ]
    )


def _element(shape: Shape) -> str:
    color = hexadecimal(shape.color)
    if isinstance(shape, Rectangle):
        left, top = shape.left * _WIDTH, shape.top * _HEIGHT
        place = f'x="{_short(left)}" y="{_short(top)}"'
        size = f'width="{_short(shape.width * _WIDTH)}" height="{_short(shape.height * _HEIGHT)}"'
        # Without smoothing neighbours meet without a seam.
        return f'<rect {place} {size} fill="{color}" shape-rendering="crispEdges"/>'
    if isinstance(shape, Dot):
        return f'<circle cx="{_short(shape.x * _WIDTH)}" cy="{_short(shape.y * _HEIGHT)}" r="1" fill="{color}"/>'
    return _letters(shape, color)


def _letters(shape: Letters, color: str) -> str:
    place = f'x="{_short(shape.column * _WIDTH)}" y="{_short((shape.row + _BASELINE) * _HEIGHT)}"'
    width = f'textLength="{_short(shape.cells * _WIDTH)}" lengthAdjust="spacingAndGlyphs"'
    weight = ' font-weight="bold"' if shape.bold else ""
    slant = ' font-style="italic"' if shape.italic else ""
    return f'<text {place} {width} fill="{color}"{weight}{slant}>{escape(shape.text)}</text>'


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def html(rendering: RenderableType, width: int, theme: Theme) -> str:
    """The rendering in `width` columns as a page."""
    return _recorded(rendering, width, colors=True).export_html(theme=THEMES[theme], code_format=_HTML)


def text(rendering: RenderableType, width: int) -> str:
    """The rendering in `width` columns without colours; no line ends in spaces."""
    lines = _recorded(rendering, width, colors=False).export_text().split("\n")
    return "\n".join(line.rstrip() for line in lines)


def _recorded(rendering: RenderableType, width: int, *, colors: bool) -> Console:
    """A console on which the rendering was drawn, and which shows nothing."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=width,
        force_terminal=colors,
        no_color=not colors,
        highlight=False,
        markup=False,
        emoji=False,
        color_system="truecolor" if colors else None,
        legacy_windows=False,
    )
    console.print(rendering)
    return console
