"""The same text cut by several tokenizers, line under line, so that one sees where they cut differently."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.style import Style

from llminspect.core.numbers import several
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import fit, visible, width
from llminspect.render.section import Drawn
from llminspect.text.tokenizer import utf8

CHARACTERS = 4000
"""Shown of a long text."""
LABEL = 18
"""Cells for the names at most."""
_SHARED = (Style(color="#1a1a1a", bgcolor="#d9d9d9"), Style(color="#1a1a1a", bgcolor="#bfbfbf"))
_DIGITS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class AlignedText:
    """Some characters that stand together in every line."""

    text: str
    start: int
    end: int
    ends_line: bool


@dataclass(frozen=True, slots=True)
class TokenizerLine:
    """One tokenizer's cuts, by byte of the text."""

    name: str
    token_at: dict[int, int]
    """The token that each byte belongs to."""
    cuts: frozenset[int]
    """The bytes at which a token starts or ends."""
    shared: frozenset[int]
    """The tokens that every tokenizer has."""


def aligned(
    text: str, models: Sequence[tuple[str, Sequence[dict[str, Any]]]], shared: Collection[Sequence[int]]
) -> Drawn:
    """One line a tokenizer, the same character in the same column of each; `shared` are the spans that all have.

    In colour each token has its own background, grey where all tokenizers have it; without colour │ stands at each cut,
    and a character that is in no token is left blank: between two │ it would be taken for one. A character that is cut
    carries the number of its parts: 🙂³.
    """
    common = {tuple(span) for span in shared}
    lines = [_line(name, tokens, common) for name, tokens in models]
    shown = text[:CHARACTERS]
    cells = list(_cells(shown, set().union(*(line.cuts for line in lines))))

    def draw(console: Console, options: ConsoleOptions) -> Iterator[Text]:
        colors = theme.has_colors(console)
        label = min(LABEL, max(width(visible(line.name)) for line in lines))
        drawn = [_widened(lines, cell, colors) for cell in cells]
        for index, row in enumerate(_rows(drawn, max(8, options.max_width - label - 2))):
            if index and len(lines) > 1:
                yield Text()
            for line in lines:
                written = Text(no_wrap=True, overflow="crop")
                written.append(fit(visible(line.name), label) + "  ", theme.QUIET)
                for place, (cell, gap, size) in enumerate(row):
                    _append(written, line, cell, gap if place else 0, size, colors)
                yield written
        if len(shown) < len(text):
            yield Text(f"… and {several(len(text) - len(shown), 'more character')}", theme.QUIET)
        cut = next((cell.text for cell in cells if any(len(_parts(line, cell)) > 1 for line in lines)), None)
        if cut is not None:
            example = (f"{cut}²", theme.TOKEN_PARTIAL if colors else theme.QUIET)
            yield Text.assemble("a raised number, as in ", example, ": into how many tokens that character is cut")
        if any(not _parts(line, cell) for line in lines for cell in cells):
            sign = "no background" if colors else "blank between two │"
            yield Text(f"{sign}: in none of that tokenizer's tokens", theme.QUIET)
        if colors and any(line.shared for line in lines) and len(lines) > 1:
            yield Text.assemble(("  ", _SHARED[0]), (" the same token in all of them", theme.QUIET))

    return Drawn(draw)


def _widened(lines: Sequence[TokenizerLine], cell: AlignedText, colors: bool) -> tuple[AlignedText, int, int]:
    """A cell with the room in front for a cut (without colour), and its width with the number of its parts."""
    gap = 0 if colors else int(any(cell.start in line.cuts for line in lines))
    parts = max((len(_parts(line, cell)) for line in lines), default=1)
    return cell, gap, width(cell.text) + (len(str(parts)) if parts > 1 else 0)


def _line(name: str, tokens: Sequence[dict[str, Any]], common: Collection[tuple[int, ...]]) -> TokenizerLine:
    token_at: dict[int, int] = {}
    cuts, shared = set(), set()
    for index, token in enumerate(tokens):
        if token["start"] is None:
            continue
        if token["start"] > 4 * CHARACTERS:
            break
        cuts |= {token["start"], token["end"]}
        token_at.update(dict.fromkeys(range(token["start"], token["end"]), index))
        if (token["start"], token["end"]) in common:
            shared.add(index)
    return TokenizerLine(name, token_at, frozenset(cuts), frozenset(shared))


def _cells(text: str, cuts: Collection[int]) -> Iterator[AlignedText]:
    """The characters, each with the combining marks that no tokenizer cuts off."""
    at = 0
    waiting, start = "", 0
    for char in text:
        if waiting and not (unicodedata.combining(char) and at not in cuts):
            yield AlignedText(visible(waiting, True), start, at, waiting == "\n")
            waiting, start = "", at
        waiting += char
        at += len(utf8(char))
    if waiting:
        yield AlignedText(visible(waiting, True), start, at, waiting == "\n")


def _rows(drawn: list[tuple[AlignedText, int, int]], room: int) -> Iterator[list[tuple[AlignedText, int, int]]]:
    row: list[tuple[AlignedText, int, int]] = []
    used = 0
    for cell, gap, size in drawn:
        if row and used + gap + size > room:
            yield row
            row, used = [], 0
        row.append((cell, gap, size))
        used += gap + size
        if cell.ends_line:
            yield row
            row, used = [], 0
    if row:
        yield row


def _parts(line: TokenizerLine, cell: AlignedText) -> set[int]:
    """The tokens that a cell's bytes belong to."""
    return {line.token_at[byte] for byte in range(cell.start, cell.end) if byte in line.token_at}


def _append(text: Text, line: TokenizerLine, cell: AlignedText, gap: int, size: int, colors: bool) -> None:
    parts = _parts(line, cell)
    shown = cell.text + (str(len(parts)).translate(_DIGITS) if len(parts) > 1 else "")
    if not (parts or colors):
        shown = ""
    if gap:
        text.append("│" if cell.start in line.cuts else " ", theme.LINE)
    style = _style(line, parts) if colors else Style()
    text.append(fit(shown, size), style)


def _style(line: TokenizerLine, parts: set[int]) -> Style:
    if not parts:
        return theme.QUIET
    token = min(parts)
    if len(parts) > 1:
        return theme.TOKEN_PARTIAL
    return _SHARED[token % 2] if token in line.shared else theme.TOKENS[token % len(theme.TOKENS)]
