"""A rendering as a file that needs nothing else (SVG, HTML, plain text, dark or light, without fonts from a network),
and as a piece of a page that is not ours, for notebooks.

The fonts are those of the reader's system, by name.
"""

from __future__ import annotations

import hashlib
import re
from html import escape

from rich.cells import get_character_cell_size
from rich.console import Group, RenderableType
from rich.segment import Segment
from rich.style import Style

from llminspect.render.cells import THEMES, Curve, Dot, Letters, Rectangle, Shape, Theme, hexadecimal, shapes, unseen

FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"

_WIDTH, _HEIGHT, _MARGIN, _SIZE, _BASELINE = 8.4, 18.0, 14.0, 14, 0.75
"""Of a cell of an SVG, in pixels, and where in its height letters stand."""

# Of HTML: lines as high as the letters of the usual fonts, so that neither cells nor lines have gaps between rows.
_HTML = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">\n"""
    "<title>llminspect</title>\n<style>\n"
    "body {{ margin: 1.5em; color: {foreground}; background: {background}; }}\n"
    f"pre {{{{ font: 14px/16px {FONTS}; margin: 0; }}}}\n"
    "pre i {{ display: inline-block; width: 1ch; font-style: normal; }}\npre i.wide {{ width: 2ch; }}\n"
    "{stylesheet}\n</style>\n</head>\n<body>\n<pre>{code}</pre>\n</body>\n</html>\n"
)
_NOTEBOOK = """<style>
#{name} {{ font: 13px/15px {fonts}; margin: 0; padding: 1em; overflow-x: auto; white-space: pre; border-radius: 6px; \
text-align: left; {light} }}
#{name} i {{ display: inline-block; width: 1ch; font-style: normal; }}
#{name} i.wide {{ width: 2ch; }}
{light_rules}@media (prefers-color-scheme: dark) {{
#{name} {{ {dark} }}
{dark_rules}}}
</style><pre id="{name}">{body}</pre>"""


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
    return _curve(shape, color) if isinstance(shape, Curve) else _letters(shape, color)


def _curve(shape: Curve, color: str) -> str:
    x, to_x = (_short(value * _WIDTH) for value in (shape.x, shape.to_x))
    y, middle, to_y = (_short(value * _HEIGHT) for value in (shape.y, (shape.y + shape.to_y) / 2, shape.to_y))
    dashes = ' stroke-dasharray="5 3"' if shape.dashed else ""
    return (
        f'<path d="M{x} {y}C{x} {middle} {to_x} {middle} {to_x} {to_y}" fill="none" stroke="{color}" '
        f'stroke-width="{_short(shape.thick * _WIDTH)}"{dashes}><title>{escape(shape.title)}</title></path>'
    )


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
    console = unseen(width)
    console.print(Group(rendering))  # Of a text alone rich makes one of its own.
    return _in_cells(console.export_html(theme=THEMES[theme], code_format=_HTML))


def _in_cells(page: str) -> str:
    """Each character that many fonts draw wider or narrower than its cells (braille, CJK, emoji), held to them: what
    follows it would stand in the wrong column.

    >>> _in_cells("a⠤日")
    'a<i>⠤</i><i class="wide">日</i>'
    """
    return re.sub("[^\x00-\u10ff]", _in_cell, page)


def _in_cell(found: re.Match[str]) -> str:
    character = found[0]
    if get_character_cell_size(character) == 2:
        return f'<i class="wide">{character}</i>'
    return f"<i>{character}</i>" if "\u2800" <= character <= "\u28ff" else character


def text(rendering: RenderableType, width: int, _: Theme = "light") -> str:
    """The rendering in `width` columns without colours; no line ends in spaces."""
    console = unseen(width, colors=False)
    console.print(Group(rendering))  # Of a text alone rich makes one of its own.
    return "\n".join(line.rstrip() for line in console.export_text().split("\n"))


def notebook(rendering: RenderableType, width: int) -> str:
    """The rendering in `width` columns as HTML: light, and dark where the reader's screen is.

    Its rules hold for its own element alone, which is named after what it shows: several stand side by side.
    """
    names: dict[tuple[str, str], str] = {}
    body = []
    for text, style, _ in Segment.simplify(Segment.filter_control(unseen(width).render(rendering))):
        rules = _rules(style)
        if any(rules):
            body.append(f'<span class="{names.setdefault(rules, f"c{len(names)}")}">{escape(text)}</span>')
        else:
            body.append(escape(text))
    whole = _in_cells("".join(body))
    name = f"llminspect-{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:12]}"
    light, dark = (
        f"color: {theme.foreground_color.hex}; background: {theme.background_color.hex};"
        for theme in (THEMES["light"], THEMES["dark"])
    )
    return _NOTEBOOK.format(
        name=name,
        fonts=FONTS,
        light=light,
        dark=dark,
        light_rules="".join(f"#{name} .{short} {{ {rules[0]} }}\n" for rules, short in names.items()),
        dark_rules="".join(
            f"#{name} .{short} {{ {rules[1]} }}\n" for rules, short in names.items() if len(set(rules)) > 1
        ),
        body=whole,
    )


def _rules(style: Style | None) -> tuple[str, str]:
    """The CSS of a style on a light page and on a dark one."""
    return ("", "") if style is None else tuple(style.get_html_style(THEMES[name]) for name in ("light", "dark"))  # type: ignore[return-value]
