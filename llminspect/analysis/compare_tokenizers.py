"""Several tokenizers over one text: how many tokens each makes, where all of them cut, where their ids first differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from llminspect.analysis.cost import Cost
from llminspect.analysis.prompt import text_prompt
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.analysis.tokenize import CountResult, TokenBudget, TokenizerSummary, about, counted
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError
from llminspect.text.tokenizer import Token, Tokenizer, utf8


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
    """… and places where at least one of them does."""


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


def compare(
    tokenizers: Sequence[tuple[str, Tokenizer]], text: str, source: SourceOptions, options: TokenizeOptions
) -> CompareResult:
    """The text in each tokenizer. One that cannot take it says why; raises its error where none can.

    The tokens of a chat are not only those of its text, so there is no rate of characters a token.
    """
    models: list[ComparedTokenizer] = []
    cut: dict[str, Sequence[Token]] = {}
    notes: list[str] = []
    errors: list[UserError] = []
    cut_text, size = text, len(utf8(text))
    for name, tokenizer in tokenizers:
        try:
            prompt = text_prompt(text, source, tokenizer, None)
        except UserError as error:
            errors.append(error)
            models.append(ComparedTokenizer(name, about(tokenizer), error=error.message))
            continue
        tokens = cut[name] = prompt.tokens
        notes += [f"{name}: {note}" for note in prompt.notes]
        if prompt.text is not None:  # Of a chat that of its last message, into which the spans point.
            cut_text, size = prompt.text, len(utf8(prompt.text))
        count = counted(tokenizer, options.for_model(name), prompt.count, len(cut_text), size)
        model = compared(name, tokenizer, count, rates=prompt.chat is None)
        notes += estimates(name, count)
        models.append(model if options.count else replace(model, tokens=token_documents(tokens)))
    if not cut:
        raise errors[0]
    comparison = CompareResult(cut_text, len(cut_text), size, models, notes=notes or None)
    if len(cut) < 2:
        return comparison
    parting = first_difference(cut, size)
    return replace(comparison, shared=shared_cuts(list(cut.values())), same_ids=parting is None, parting=parting)


def estimates(name: str, count: CountResult) -> list[str]:
    """What is to be noted of a cost that is an estimate."""
    estimate = count.cost.estimate if count.cost is not None else None
    return [] if estimate is None else [f"{name}: the cost is an estimate: {estimate}"]


def spans(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """The bytes of the text that each token came from, without the tokens that came from none."""
    return [(token.start, token.end) for token in tokens if token.start is not None and token.end is not None]


def shared_cuts(cut: Sequence[Sequence[Token]]) -> SharedCuts:
    """The pieces and the cuts that are in all of them. The ends of the text count as no cut."""
    pieces = [spans(tokens) for tokens in cut]
    end = max((span[1] for spanned in pieces for span in spanned), default=0)
    cuts = [{place for span in spanned for place in span} - {0, end} for spanned in pieces]
    return SharedCuts(sorted(set.intersection(*map(set, pieces))), len(set.intersection(*cuts)), len(set.union(*cuts)))


def first_difference(cut: dict[str, Sequence[Token]], size: int) -> FirstDifference | None:
    """Where the ids of any tokenizer first differ from those of the first one; None where they never do."""
    (first, first_tokens), *others = cut.items()
    ids = [token.id for token in first_tokens]
    places = {name: place_of_difference(ids, [token.id for token in tokens]) for name, tokens in others}
    found = {name: index for name, index in places.items() if index is not None}
    if not found:
        return None
    name, index = min(found.items(), key=lambda entry: entry[1])
    pair = [tokens[index] if index < len(tokens) else None for tokens in (first_tokens, cut[name])]
    starts = [token.start for token in pair if token is not None and token.start is not None]
    return FirstDifference(
        index,
        min(starts, default=size),
        (first, name),
        (pair[0].id if pair[0] else None, pair[1].id if pair[1] else None),
        (pair[0].text if pair[0] else None, pair[1].text if pair[1] else None),
    )


def compared(name: str, tokenizer: Tokenizer, found: CountResult, *, rates: bool = True) -> ComparedTokenizer:
    """A count as a row of a comparison; with the characters and the bytes a token, unless not `rates`."""
    characters, size = found.characters, found.bytes
    return ComparedTokenizer(
        name,
        about(tokenizer),
        found.count,
        characters / found.count if rates and found.count and characters is not None else None,
        size / found.count if rates and found.count and size is not None else None,
        found.cost,
        found.budget,
    )


def place_of_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """The index of the first id that differs or is missing on one side; None where the two are equal."""
    return next((index for index, (one, other) in enumerate(zip_longest(left, right)) if one != other), None)
