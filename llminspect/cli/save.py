"""`--save FILE`: the same result in the form that the file's name says."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import PageOptions
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import RenderableType

    from llminspect.arguments.shared import OutputOptions
    from llminspect.core.array import Array
    from llminspect.files.npz import Streamed

PICTURES = {".html": "picture.html", ".png": "png.png", ".svg": "picture.svg", ".txt": "picture.text"}
"""The endings of pictures, and what in `render/` draws each: imported when it is drawn."""
WIDTH = 100
"""Columns of a saved picture; --width, or COLUMNS in the environment, changes it."""


def save(
    options: OutputOptions,
    document: dict[str, Any],
    render: Callable[[], RenderableType],
    arrays: Callable[[], Mapping[str, Array | Streamed]] | None,
) -> None:
    """Write the file whole or not at all; `check_ending` has let its ending pass."""
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
    elif path.suffix in PICTURES:
        module, _, name = PICTURES[path.suffix].partition(".")
        draw = getattr(import_module(f"llminspect.render.{module}"), name)
        picture: str | bytes = draw(render(), _columns(options), options.theme)
        save_whole(path, picture.encode("utf-8", "replace") if isinstance(picture, str) else picture)
    else:
        assert arrays is not None, "`check_ending` lets no .npz pass where there are none"
        save_whole(path, lambda file: write_npz(file, arrays()))


def check_ending(options: OutputOptions, *, arrays: bool) -> None:
    """Refuse a file name that `save` could not write before any work is done."""
    if is_page(options) and (options.save is None or options.save.suffix != ".html"):
        raise UsageError("--interactive makes a page", "add --save page.html")
    if options.save is not None:
        endings = {".json", *PICTURES, *([".npz"] if arrays else [])}
        if options.save.suffix not in endings:
            raise UsageError(f"--save cannot write {options.save.name!r}", f"it writes {', '.join(sorted(endings))}")


def is_page(options: OutputOptions) -> bool:
    """Whether the saved file is a page that can be pointed at."""
    return isinstance(options, PageOptions) and options.interactive


def _columns(options: OutputOptions) -> int:
    columns = os.environ.get("COLUMNS", "")
    return options.width or (int(columns) if columns.isdecimal() and int(columns) > 0 else WIDTH)
