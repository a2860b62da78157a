"""`encode --search`: looking through a tokenizer's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.analysis.result import Result

if TYPE_CHECKING:
    from llminspect.arguments.encode import SearchOptions
    from llminspect.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class FoundToken:
    """A token that a search found."""

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
    found: list[FoundToken]


def search_vocabulary(tokenizer: Tokenizer, options: SearchOptions) -> SearchResult:
    """The tokens that match, by id, or the longest first."""
    from llminspect.text.vocabulary import longest, search

    assert options.search is not None
    entries = search(
        tokenizer, glob=options.search, special=options.only == "special", unreachable=options.only == "unreachable"
    )
    all_found = list(entries)
    if options.longest:
        all_found = longest(all_found, len(all_found), special=options.only == "special")
    found = [FoundToken(entry.id, entry.text, entry.data.hex(), entry.special) for entry in all_found[: options.limit]]
    return SearchResult(options.search, len(all_found), tokenizer.vocabulary_size, found)
