"""How the text is cut, and how another tokenizer cuts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.commands.tokenize.view import render
from llminspect.render.section import page

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.commands.explore.panes import Seen


def view(seen: Seen) -> RenderableType:
    return page([render(result) for _, result in seen.found])  # type: ignore[arg-type]
