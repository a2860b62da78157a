"""`encode --search`: looking through a tokenizer's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.commands._options import SourceOptions
    from llminspect.render.table import Cell
    from llminspect.text.tokenizer import Tokenizer

SHOWN = 50
"""Tokens drawn unless --limit says otherwise."""
LONGEST = 48
"""Cells of a token's text that are drawn."""


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search."""

    search: Annotated[
        str | None,
        typer.Option("--search", metavar="GLOB", help="Find tokens by their text: ' the*', '*ing', '[A-Z]??'."),
    ] = None
    only: Annotated[
        Literal["special", "unreachable"] | None,
        typer.Option("--only", help="With --search: special ones, or those that their own text never gives."),
    ] = None
    longest: Annotated[bool, typer.Option("--longest", help="With --search: the longest first.")] = False
    limit: Annotated[int | None, typer.Option("--limit", min=0, metavar="N", help="With --search: how many.")] = None

    def check(self, source: SourceOptions) -> None:
        """Raise UsageError where there is nothing to search for, or a text beside it."""
        if self.search is None:
            if self.only or self.longest or self.limit is not None:
                raise UsageError("--only, --longest and --limit belong to --search", "for all tokens: --search '*'")
        elif source.text is not None or source.file is not None or source.ids is not None or source.lines:
            raise UsageError("--search looks through the vocabulary, not through a text", "leave out the text")


@dataclass(frozen=True)
class Match:
    """A token that was found."""

    id: int
    text: str
    """With U+FFFD where its bytes are not whole characters."""
    bytes: str
    """In hex."""
    special: bool


@dataclass(frozen=True)
class Found:
    """The tokens that a search found."""

    search: str
    count: int
    """How many were found, whatever --limit."""
    vocabulary_size: int
    found: list[Match]


def run_search(tokenizer: Tokenizer, asked: SearchOptions) -> Found:
    """The tokens that match, by id, or the longest first."""
    from llminspect.text.vocabulary import longest, search

    assert asked.search is not None
    entries = search(
        tokenizer, glob=asked.search, special=asked.only == "special", unreachable=asked.only == "unreachable"
    )
    all_found = list(entries)
    if asked.longest:
        all_found = longest(all_found, len(all_found), special=asked.only == "special")
    shown = all_found if asked.limit is None else all_found[: asked.limit]
    matches = [Match(entry.id, entry.text, entry.data.hex(), entry.special) for entry in shown]
    return Found(asked.search, len(all_found), tokenizer.vocabulary_size, matches)


def found_view(result: Found, limit: int | None) -> RenderableType:
    """A row a token."""
    from rich.console import Group
    from rich.text import Text

    from llminspect.commands._input import is_partial
    from llminspect.commands._tokenize_render import readable, spaced
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
