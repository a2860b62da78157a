"""`encode --search`: looking through a tokenizer's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.analysis.result import Result

if TYPE_CHECKING:
    from llminspect.arguments.encode import SearchOptions
    from llminspect.text.tokenizer import Tokenizer

SHOWN = 50
"""Tokens drawn unless --limit says otherwise."""
LONGEST = 48
"""Cells of a token's text that are drawn."""


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
class SearchResult(Result):
    """The tokens that a search found."""

    search: str
    count: int
    """How many were found, whatever --limit."""
    vocabulary_size: int
    found: list[Match]


def search_vocabulary(tokenizer: Tokenizer, asked: SearchOptions) -> SearchResult:
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
    return SearchResult(asked.search, len(all_found), tokenizer.vocabulary_size, matches)
