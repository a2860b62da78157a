"""`--save FILE`: the same result in the form that the file's name says; with --interactive a page to point at."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import OutputOptions, PageOptions
from llminspect.errors import UsageError, UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.core.array import Array
    from llminspect.files.npz import Streamed

PICTURES = {".html": "picture.html", ".png": "png.png", ".svg": "picture.svg", ".txt": "picture.text"}
"""The endings of pictures, and what in `render/` draws each: imported when it is drawn."""
_UNSEEN = ((0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F))
_MARKS = ((0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB))
HARMLESS = {
    code: f"\\u{code:04x}"
    for code in (*b"<>&", *(code for first, last in (*_UNSEEN, *_MARKS) for code in range(first, last + 1)))
}
"""What could end the script element or start another, and what an editor would obey or hide: written as JSON escapes,
which mean the same."""
SCRIPTS = {
    "attend": ("attend.js",),
    "circuit": ("drawings.js", "circuit.js"),
    "forward": ("lens.js",),
    "tokenize": ("compare.js",),
    "walk": ("drawings.js", "steps.js", "walk.js"),
}
STYLES = {"circuit": ("circuit.css",), "walk": ("walk.css",)}
"""Of each command's page, after what all share."""
WIDTH = 100
"""Columns of a saved picture; --width, or COLUMNS in the environment, changes it."""


def save(
    options: OutputOptions,
    document: dict[str, Any],
    render: Callable[[], RenderableType],
    arrays: Callable[[], Mapping[str, Array | Streamed]] | None,
    note: Callable[[str], object],
) -> Path:
    """Write the file whole or not at all, and give its path; `check_ending` has let its ending pass. `note` is given
    what the picture cannot show."""
    from llminspect.cli.json_text import json_bytes
    from llminspect.files.npz import write_npz
    from llminspect.files.source import save_whole

    assert options.save is not None
    path = path_of_line(options.save, document.get("line"))
    if path.suffix == ".json":
        save_whole(path, json_bytes(document, options.digits))
    elif is_page(options):
        save_whole(path, page_bytes(document))
    elif path.suffix in PICTURES:
        module, _, name = PICTURES[path.suffix].partition(".")
        draw = getattr(import_module(f"llminspect.render.{module}"), name)
        noting = {"note": note} if path.suffix == ".png" else {}
        picture: str | bytes = draw(_with_remarks(render(), document), _columns(options), options.theme, **noting)
        save_whole(path, picture.encode("utf-8", "replace") if isinstance(picture, str) else picture)
    else:
        assert arrays is not None, "`check_ending` lets no .npz pass where there are none"
        notes = {"notes": document["notes"]} if "notes" in document else {}
        save_whole(path, lambda file: write_npz(file, {**arrays(), **notes}))
    return path


def path_of_line(path: Path, line: int | None) -> Path:
    """The file of a line's result, with the number that the line has in JSON: none takes another's place.

    >>> path_of_line(Path("page.html"), 2).name
    'page-2.html'
    """
    return path if line is None else path.with_stem(f"{path.stem}-{line}")


def _with_remarks(rendering: RenderableType, document: dict[str, Any]) -> RenderableType:
    """The picture below what is to be known of the model that it is of."""
    from rich.console import Group

    from llminspect.files.remarks import remarks
    from llminspect.render.prose import Text
    from llminspect.render.safe import visible

    found = [Text(visible(remark)) for remark in remarks(document["provenance"])]
    return Group(*found, "", rendering) if found else rendering


def check_ending(options: OutputOptions, *, arrays: bool) -> None:
    """Refuse a file name that `save` could not write before any work is done."""
    if is_page(options) and (options.save is None or options.save.suffix != ".html"):
        raise UsageError("--interactive makes a page", "add --save page.html")
    if options.save is not None:
        endings = {".json", *PICTURES, *([".npz"] if arrays else [])}
        if options.save.suffix not in endings:
            raise UsageError(f"--save cannot write {options.save.name!r}", f"it writes {', '.join(sorted(endings))}")
        check_folder(options.save)


def check_folder(path: Path) -> None:
    """Refuse a file in a folder that is not there, before any work is done. Raises UserError."""
    if not path.parent.is_dir():
        raise UserError(f"cannot write {str(path)!r:.300}: there is no folder {str(path.parent)!r:.300}")


def is_page(options: OutputOptions) -> bool:
    """Whether the saved file is a page that can be pointed at."""
    return isinstance(options, PageOptions) and options.interactive


def _columns(options: OutputOptions) -> int:
    columns = os.environ.get("COLUMNS", "")
    return options.width or (int(columns) if columns.isdecimal() and int(columns) > 0 else WIDTH)


def page_bytes(document: dict[str, Any]) -> bytes:
    """The HTML of a page that shows the document and may load nothing; only this very script may run.

    Raises UsageError for a result that has no page.
    """
    import base64
    import hashlib
    import html

    from llminspect import render
    from llminspect.cli.json_text import json_bytes
    from llminspect.cli.page_data import DECIMALS, page_data
    from llminspect.files.remarks import remarks
    from llminspect.files.source import read_text
    from llminspect.render.safe import visible

    kept = page_data(document)
    folder, command = Path(render.__file__).parent / "page", document["command"]
    script = "".join(read_text(folder / name) for name in ("common.js", *SCRIPTS[command]))
    style = "".join(read_text(folder / name) for name in ("page.css", *STYLES.get(command, ())))
    data = json_bytes(kept, DECIMALS).decode()
    about = ", ".join(model.model for model in kept["models"]) if "models" in kept else document["model"]
    title = f"llminspect {command}: {about}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    notes = "".join(f"<p>{html.escape(visible(remark))}</p>\n" for remark in remarks(document["provenance"]))
    written = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(visible(title))}</title>
<style>{style}</style>
</head>
<body>
{notes}<main><noscript>This page needs JavaScript, which runs in it without any network.</noscript></main>
<script type="application/json" id="data">{data.translate(HARMLESS)}</script>
<script>{script}</script>
</body>
</html>
"""
    return written.encode("utf-8", "replace")
