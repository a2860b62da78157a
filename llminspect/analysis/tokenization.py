"""What `tokenize` finds out, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llminspect.analysis.result import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.documents import Tokens
    from llminspect.text.steps import Steps
    from llminspect.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenizerSummary:
    """A tokenizer, in a few words."""

    kind: str
    """The algorithm."""
    vocabulary_size: int
    lossless: bool
    """Whether decoding gives back every text byte by byte."""
    loss: str | None = None
    """What it loses, where it is not lossless."""


@dataclass(frozen=True)
class Cost:
    """What the tokens cost."""

    price: float
    """Per million tokens."""
    total: float
    currency: str
    """As it was given; empty where none was."""


@dataclass(frozen=True)
class TokenBudget:
    """With --max-tokens-allowed."""

    allowed: int
    within: bool


@dataclass(frozen=True)
class TruncatedText:
    """What --truncate kept of the text."""

    text: str
    start: int
    """In bytes of the text."""
    end: int
    of: int
    """Tokens of the whole."""
    side: Literal["start", "end"]
    """Where it was cut off."""


@dataclass(frozen=True)
class ChatMessage:
    """One message of a conversation, and how many tokens it has."""

    role: str
    content: str
    count: int


@dataclass(frozen=True)
class Conversation:
    """The messages of --chat, and what the template adds."""

    messages: list[ChatMessage]
    template: int
    """Tokens that the model's chat template wrote."""


@dataclass(frozen=True)
class TokenizeResult(Result):
    """One text and its tokens."""

    text: str | None
    tokens: Tokens
    count: int
    tokenizer: TokenizerSummary
    characters: int | None = None
    """Of the text."""
    bytes: int | None = None
    """Of the text in UTF-8."""
    round_trip: bool | None = None
    """Whether decoding the ids gives back this text, byte by byte."""
    cost: Cost | None = None
    budget: TokenBudget | None = None
    chat: Conversation | None = None
    truncated: TruncatedText | None = None
    steps: Steps | None = None


@dataclass(frozen=True)
class CountResult(Result):
    """How many tokens a text has."""

    count: int
    characters: int | None = None
    bytes: int | None = None
    cost: Cost | None = None
    budget: TokenBudget | None = None


@dataclass(frozen=True)
class ComparedTokenizer:
    """One tokenizer of a comparison."""

    model: str
    tokenizer: TokenizerSummary
    count: int | None = None
    characters_per_token: float | None = None
    bytes_per_token: float | None = None
    cost: Cost | None = None
    budget: TokenBudget | None = None
    tokens: Tokens | None = None
    """Left out with --count, and where this tokenizer cannot take the text."""
    error: str | None = None
    """Why this tokenizer cannot take the text."""


@dataclass(frozen=True)
class SharedCuts:
    """What all tokenizers of a comparison have in common."""

    spans: list[tuple[int, int]]
    """The bytes of the text that are one token in each of them."""
    cuts: int
    """Places inside the text where all of them cut …"""
    cuts_of_any: int
    """… and places where any of them does."""


@dataclass(frozen=True)
class FirstDifference:
    """The first token in which the ids of two tokenizers differ; None where a text has ended."""

    index: int
    byte: int
    """Where in the text, in bytes of UTF-8."""
    models: tuple[str, str]
    ids: tuple[int | None, int | None]
    texts: tuple[str | None, str | None]


@dataclass(frozen=True)
class CompareResult(Result):
    """One text in several tokenizers."""

    text: str | None
    """Left out with --count."""
    characters: int
    bytes: int
    models: list[ComparedTokenizer]
    shared: SharedCuts | None = None
    same_ids: bool | None = None
    """Whether all of them give the very same ids."""
    parting: FirstDifference | None = None


def about(tokenizer: Tokenizer) -> TokenizerSummary:
    return TokenizerSummary(tokenizer.kind, tokenizer.vocabulary_size, tokenizer.lossless, tokenizer.loss or None)


def budget_of(allowed: int | None, count: int) -> TokenBudget | None:
    return None if allowed is None else TokenBudget(allowed, count <= allowed)


def exceeded(name: str, count: int, budget: TokenBudget | None) -> list[tuple[str, int, TokenBudget]]:
    """The tokenizer, its tokens and what is allowed, where there are more tokens than that; else nothing."""
    return [] if budget is None or budget.within else [(name, count, budget)]


def cost_of(price: tuple[float, str] | None, count: int) -> Cost | None:
    """What `count` tokens cost at a price per million, with its currency."""
    return None if price is None else Cost(price[0], count * price[0] / 1e6, price[1])


def compared(name: str, tokenizer: Tokenizer, counted: CountResult, *, rates: bool = True) -> ComparedTokenizer:
    """A count as a row of a comparison; with the characters and the bytes a token, unless not `rates`."""
    characters, size = counted.characters, counted.bytes
    return ComparedTokenizer(
        name,
        about(tokenizer),
        counted.count,
        characters / counted.count if rates and counted.count and characters is not None else None,
        size / counted.count if rates and counted.count and size is not None else None,
        counted.cost,
        counted.budget,
    )


def place_of_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """The index of the first id that differs or is missing on one side; None where the two are equal."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return None if len(left) == len(right) else min(len(left), len(right))
