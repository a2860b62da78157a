"""`llminspect encode`: a text as the ids that a model reads, ids as text again, and `--search` in a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.arguments.tokenize import SearchOptions
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.text.prompt import Prompt
    from llminspect.text.tokenizer import Tokenizer

ONE_HOT = 20_000_000
"""Numbers in the one-hot rows at most."""


@dataclass(frozen=True)
class EncodeResult(Result):
    """A text and its ids."""

    text: str | None
    ids: list[int]
    tokens: Tokens
    vocabulary_size: int
    one_hot: list[list[int]] | None = None
    """With --one-hot: [T, V], one row for each token: 1 at its id, 0 elsewhere."""
    pair: str | None = None
    """The second text, with --pair."""


@dataclass(frozen=True)
class DecodeResult(Result):
    """Ids and the text that they stand for."""

    ids: list[int]
    text: str
    """With U+FFFD where the bytes are not whole characters."""
    bytes: str
    """In hex."""
    whole: bool
    """Whether the bytes are whole characters."""


def encode(tokenizer: Tokenizer, one_hot: bool, prompt: Prompt) -> EncodeResult:
    """The ids of one text."""
    size = tokenizer.vocabulary_size
    ids = prompt.known_ids()
    if prompt.text is None:
        tokenizer.check(ids)
    if one_hot and len(ids) * size > ONE_HOT:
        raise UsageError(
            f"the one-hot rows would hold {len(ids)} × {size:,} numbers",
            "take a shorter text, or a small vocabulary: --letters, --model toy, --model bytes",
        )
    rows = [[int(place == token_id) for place in range(size)] for token_id in ids] if one_hot else None
    documents = token_documents(prompt.tokens, prompt.segments, prompt.second)
    return EncodeResult(prompt.text, ids, documents, size, rows, prompt.pair)


def decode(tokenizer: Tokenizer, keep_special: bool, prompt: Prompt) -> DecodeResult:
    """The bytes that ids stand for, without what the model expects around a text unless that is to be kept."""
    ids, prefix, suffix = prompt.ids, list(tokenizer.prefix_ids), list(tokenizer.suffix_ids)
    if not keep_special and prefix and ids[: len(prefix)] == prefix:
        ids = ids[len(prefix) :]
    if not keep_special and suffix and ids[-len(suffix) :] == suffix:
        ids = ids[: -len(suffix)]
    data = tokenizer.decode(ids)
    text = data.decode("utf-8", "replace")
    return DecodeResult(prompt.ids, text, data.hex(), text.encode() == data)


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
