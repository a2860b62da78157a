"""How `encode` looks: tokens over their ids, one-hot rows, text made of ids."""

from __future__ import annotations

from rich.console import Group, RenderableType

from llminspect.analysis.encode import DecodeResult, EncodeResult, SearchResult
from llminspect.analysis.result import is_partial
from llminspect.commands.tokenize.view import STRIP, cell, kind_of, readable, spaced
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, shorten, visible
from llminspect.render.table import Cell, Column, table
from llminspect.render.token_strip import token_strip

ROW = 32
"""Numbers of a one-hot row that are written out."""

FOUND = 50
"""Tokens of a search that are drawn unless --limit says otherwise."""
LONGEST = 48
"""Cells of a token's text that are drawn."""


def encoded(result: EncodeResult) -> RenderableType:
    """The tokens over their ids, and the ids; or with --one-hot a row a token."""
    if result.one_hot is not None:
        return one_hot(result)
    ids = Text(" ".join(map(str, result.ids)), overflow="fold")
    shown = result.tokens[:STRIP]
    if not shown:
        return ids
    texts, kinds = [readable(token) for token in shown], [kind_of(token) for token in shown]
    return Group(token_strip(texts, kinds, ids=[token["id"] for token in shown]), Text(), ids)


def one_hot(result: EncodeResult) -> RenderableType:
    """Each row written out; of a large vocabulary where its one 1 stands."""
    size = result.vocabulary_size
    rows: list[list[Cell]] = [
        [cell(token), str(token["id"]), one_hot_row(token["id"], size)] for token in result.tokens
    ]
    note = f"one row for each token, {size:,} numbers long: 1 at the token's id, 0 everywhere else"
    columns = [Column("token", spaces=True), Column("id", "right"), Column(f"one-hot [{len(rows)} × {size:,}]")]
    return Group(table(columns, rows), Text(note, theme.QUIET))


def one_hot_row(token_id: int, size: int) -> Text:
    """`0 1 0`; with … where a long run of zeros is left out."""
    line = Text()
    if size <= ROW:
        for place in range(size):
            line.append("1" if place == token_id else "0", theme.CHOSEN if place == token_id else theme.QUIET)
            line.append(" " if place < size - 1 else "")
        return line
    before, after = token_id, size - 1 - token_id
    line.append(zeros(before), theme.QUIET)
    line.append(" 1 " if before else "1 ", theme.CHOSEN)
    line.append(zeros(after), theme.QUIET)
    return line


def zeros(count: int) -> str:
    return " ".join("0" * count) if count <= 3 else f"0 … 0 ({count:,} zeros)"


def decoded(result: DecodeResult) -> RenderableType:
    """The text; bytes that are not whole characters as ‹0xE2›."""
    text = bytes.fromhex(result.bytes).decode("utf-8", "surrogateescape")
    return Text("\n".join(visible(line) for line in text.split("\n")))


def found_view(result: SearchResult, limit: int | None) -> RenderableType:
    """A row a token."""
    shown = result.found if limit is not None else result.found[:FOUND]
    head = Text.assemble(
        (f"{result.count:,} token{'' if result.count == 1 else 's'}", theme.TITLE),
        (f" of {result.vocabulary_size:,} match {quoted(result.search)}", theme.QUIET),
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


def render(result: EncodeResult | DecodeResult | SearchResult, *, limit: int | None = None) -> RenderableType:
    """Whichever of the three it is."""
    if isinstance(result, SearchResult):
        return found_view(result, limit)
    return encoded(result) if isinstance(result, EncodeResult) else decoded(result)
