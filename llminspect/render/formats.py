"""The forms in which a picture is saved: the ending of the file's name, and what makes the file of a rendering.

A new form is one more function here. Each is given the rendering, the columns it has, and the theme; what a form needs
is imported when it is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from llminspect.render.cells import Theme

    Draw = Callable[[RenderableType, int, Theme], bytes]


def _svg(rendering: RenderableType, width: int, theme: Theme) -> bytes:
    from llminspect.render.picture import svg

    return svg(rendering, width, theme).encode("utf-8", "replace")


def _html(rendering: RenderableType, width: int, theme: Theme) -> bytes:
    from llminspect.render.picture import html

    return html(rendering, width, theme).encode("utf-8", "replace")


def _txt(rendering: RenderableType, width: int, _: Theme) -> bytes:
    from llminspect.render.picture import text

    return text(rendering, width).encode("utf-8", "replace")


def _png(rendering: RenderableType, width: int, theme: Theme) -> bytes:
    from llminspect.render.png import png

    try:
        return png(rendering, width, theme)
    except ImportError:
        message = "a PNG needs Pillow, which is not installed"
        raise UserError(message, "pip install 'llminspect-cli[png]', or save .svg") from None


FORMATS: dict[str, Draw] = {".html": _html, ".png": _png, ".svg": _svg, ".txt": _txt}
