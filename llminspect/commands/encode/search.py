"""How the search through a vocabulary looks: `encode --search`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.vocabulary_search import SearchResult
    from llminspect.render.table import Cell


def found_view(result: SearchResult, limit: int | None) -> RenderableType:
    """A row a token."""
    from rich.console import Group
    from rich.text import Text

    from llminspect.analysis.documents import is_partial
    from llminspect.analysis.vocabulary_search import LONGEST, SHOWN
    from llminspect.commands.tokenize.view import readable, spaced
    from llminspect.render import theme
    from llminspect.render.safe import shorten, visible
    from llminspect.render.table import Column, table

    shown = result.found if limit is not None else result.found[:SHOWN]
    head = Text.assemble(
        (f"{result.count:,} token{'' if result.count == 1 else 's'}", theme.TITLE),
        (f" of {result.vocabulary_size:,} match {visible(result.search, True)}", theme.QUIET),
    )
    if not shown:
        return head
    columns = [Column("id", "right"), Column("token"), Column("characters", "right"), Column("bytes", quiet=True)]
    rows: list[list[Cell]] = []
    for match in shown:
        partial = is_partial(bytes.fromhex(match.bytes))
        text = shorten(visible(readable({"text": match.text, "bytes": match.bytes, "partial": partial}), True), LONGEST)
        style = theme.TOKEN_SPECIAL if match.special else theme.TOKEN_PARTIAL if partial else ""
        rows.append([str(match.id), Text(text, style), str(len(match.text)), spaced(match.bytes)])
    left_out = result.count - len(shown)
    note = [Text(f"{left_out:,} more; --limit {result.count} shows all", theme.QUIET)] if left_out > 0 else []
    return Group(head, Text(), table(columns, rows), *note)
