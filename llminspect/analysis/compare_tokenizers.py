"""Several tokenizers over one text: how many tokens each makes, where all of them cut, where their ids first differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.analysis.documents import token_documents
from llminspect.analysis.prompt import text_prompt
from llminspect.analysis.tokenization import (
    ComparedTokenizer,
    CompareResult,
    CountResult,
    FirstDifference,
    SharedCuts,
    about,
    budget_of,
    compared,
    cost_of,
    place_of_difference,
)
from llminspect.errors import UserError
from llminspect.text.tokenizer import utf8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.arguments.shared import SourceOptions
    from llminspect.arguments.tokenize import TokenizeOptions
    from llminspect.text.tokenizer import Token, Tokenizer


def compare(
    tokenizers: Sequence[tuple[str, Tokenizer]],
    text: str,
    source: SourceOptions,
    options: TokenizeOptions,
) -> CompareResult:
    """The text in each tokenizer. One that cannot take it says why; raises its error where none can.

    The tokens of a chat are not only those of its text, so there is no rate of characters a token.
    """
    models: list[ComparedTokenizer] = []
    cut: dict[str, Sequence[Token]] = {}
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
        count = len(tokens)
        if prompt.text is not None:  # Of a chat that of its last message, into which the spans point.
            cut_text, size = prompt.text, len(utf8(prompt.text))
        cost, budget = cost_of(options.price, count), budget_of(options.max_tokens_allowed, count)
        counted = CountResult(count, len(cut_text), size, cost, budget)
        model = compared(name, tokenizer, counted, rates=prompt.chat is None)
        models.append(model if options.count else replace(model, tokens=token_documents(tokens)))
    if not cut:
        raise errors[0]
    comparison = CompareResult(cut_text, len(cut_text), size, models)
    if len(cut) < 2:
        return comparison
    parting = first_difference(cut, size)
    return replace(comparison, shared=shared_cuts(list(cut.values())), same_ids=parting is None, parting=parting)


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
    found = []
    for name, tokens in others:
        index = place_of_difference(ids, [token.id for token in tokens])
        if index is not None:
            found.append((index, name, tokens))
    if not found:
        return None
    index, name, tokens = min(found, key=lambda entry: entry[0])
    pair = [tokens[index] if index < len(tokens) else None for tokens in (first_tokens, tokens)]
    starts = [token.start for token in pair if token is not None and token.start is not None]
    return FirstDifference(
        index,
        min(starts, default=size),
        (first, name),
        (pair[0].id if pair[0] else None, pair[1].id if pair[1] else None),
        (pair[0].text if pair[0] else None, pair[1].text if pair[1] else None),
    )
