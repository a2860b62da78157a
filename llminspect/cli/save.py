"""`--save FILE`: the same result in the form that the file's name says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from llminspect.arguments.shared import PageOptions
from llminspect.errors import UsageError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import RenderableType

    from llminspect.arguments.shared import OutputOptions
    from llminspect.core.array import Array
    from llminspect.files.npz import Streamed

DRAWN = {".svg", ".html", ".png", ".txt"}
WIDTH = 100
"""Columns of a saved picture; --width, or COLUMNS in the environment, changes it."""


def save(
    options: OutputOptions,
    document: dict[str, Any],
    render: Callable[[], RenderableType],
    arrays: Callable[[], Mapping[str, Array | Streamed]] | None,
) -> None:
    """Write the file whole or not at all. Raises UsageError for an ending that is not known here."""
    from llminspect.cli.json_text import json_bytes
    from llminspect.files.npz import write_npz
    from llminspect.files.source import save_whole

    path = options.save
    assert path is not None
    if path.suffix == ".json":
        save_whole(path, json_bytes(document, options.digits))
    elif is_page(options):
        from llminspect.cli.page import page_bytes

        save_whole(path, page_bytes(document))
    elif path.suffix in DRAWN:
        save_whole(path, drawn(render(), options))
    elif path.suffix == ".npz" and arrays is not None:
        save_whole(path, lambda file: write_npz(file, arrays()))
    else:
        endings = [".json", *sorted(DRAWN), *([".npz"] if arrays is not None else [])]
        raise UsageError(f"--save cannot write {path.name!r}", f"it writes {', '.join(endings)}")


def check_ending(options: OutputOptions, *, arrays: bool) -> None:
    """Refuse a file name that `save` could not write before any work is done."""
    if is_page(options) and (options.save is None or options.save.suffix != ".html"):
        raise UsageError("--interactive makes a page", "add --save page.html")
    if options.save is not None:
        endings = {".json", *DRAWN, *([".npz"] if arrays else [])}
        if options.save.suffix not in endings:
            raise UsageError(f"--save cannot write {options.save.name!r}", f"it writes {', '.join(sorted(endings))}")


def is_page(options: OutputOptions) -> bool:
    """Whether the saved file is a page that can be pointed at."""
    return isinstance(options, PageOptions) and options.interactive


def drawn(rendering: RenderableType, options: OutputOptions) -> bytes:
    """The rendering as SVG, HTML, PNG or plain text. Raises UserError where PNG is asked for and Pillow is lacking."""
    from llminspect.render import picture

    assert options.save is not None
    columns = os.environ.get("COLUMNS", "")
    width = options.width or (int(columns) if columns.isdecimal() and int(columns) > 0 else WIDTH)
    ending = options.save.suffix
    if ending == ".png":
        return _png(rendering, width, options.theme)
    if ending == ".txt":
        written = picture.text(rendering, width)
    else:
        written = (picture.svg if ending == ".svg" else picture.html)(rendering, width, options.theme)
    return written.encode("utf-8", "replace")


def _png(rendering: RenderableType, width: int, theme: Literal["dark", "light"]) -> bytes:
    from llminspect.render.png import png

    try:
        return png(rendering, width, theme)
    except ImportError:
        message = "a PNG needs Pillow, which is not installed"
        raise UserError(message, "pip install 'llminspect-cli[png]', or save .svg") from None
