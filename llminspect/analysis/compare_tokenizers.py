"""Several tokenizers over one text: how many tokens each makes, where they cut alike, where their ids part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.analysis.documents import token_documents
from llminspect.analysis.prompt import text_prompt
from llminspect.analysis.tokenization import Compared, CompareResult, Parting, Shared, about, budget_of, cost_of
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
    asked: TokenizeOptions,
) -> CompareResult:
    """The text in each tokenizer. One that cannot take it says why; raises its error where none can.

    The tokens of a chat are not only those of its text, so there is no rate of characters a token.
    """
    models: list[Compared] = []
    cut: dict[str, Sequence[Token]] = {}
    errors: list[UserError] = []
    own_text, size = text, len(utf8(text))
    for name, tokenizer in tokenizers:
        try:
            prompt = text_prompt(text, source, tokenizer, None)
        except UserError as error:
            errors.append(error)
            models.append(Compared(name, about(tokenizer), error=error.message))
            continue
        tokens = cut[name] = prompt.tokens
        count = len(tokens)
        chat = prompt.chat is not None
        if prompt.text is not None:  # Of a chat that of its last message, into which the spans point.
            own_text, size = prompt.text, len(utf8(prompt.text))
        compared = Compared(
            name,
            about(tokenizer),
            count,
            len(own_text) / count if count and not chat else None,
            size / count if count and not chat else None,
            cost_of(asked.price, count),
            budget_of(asked.max_tokens_allowed, count),
        )
        models.append(compared if asked.count else replace(compared, tokens=token_documents(tokens)))
    if not cut:
        raise errors[0]
    comparison = CompareResult(own_text, len(own_text), size, models)
    if len(cut) < 2:
        return comparison
    parting = first_parting(cut, size)
    return replace(comparison, shared=shared(list(cut.values())), same_ids=parting is None, parting=parting)


def spans(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """The bytes of the text that each token came from, without the tokens that came from none."""
    return [(token.start, token.end) for token in tokens if token.start is not None and token.end is not None]


def shared(cut: Sequence[Sequence[Token]]) -> Shared:
    """The pieces and the cuts that are in all of them. The ends of the text count as no cut."""
    pieces = [spans(tokens) for tokens in cut]
    end = max((span[1] for own in pieces for span in own), default=0)
    cuts = [{place for span in own for place in span} - {0, end} for own in pieces]
    return Shared(sorted(set.intersection(*map(set, pieces))), len(set.intersection(*cuts)), len(set.union(*cuts)))


def first_parting(cut: dict[str, Sequence[Token]], size: int) -> Parting | None:
    """Where the ids of any tokenizer first part from those of the first one; None where they never do."""
    (first, own), *others = cut.items()
    found = [(_same_until(own, tokens), name, tokens) for name, tokens in others]
    found = [entry for entry in found if entry[0] < max(len(own), len(entry[2]))]
    if not found:
        return None
    index, name, tokens = min(found, key=lambda entry: entry[0])
    pair = [tokens[index] if index < len(tokens) else None for tokens in (own, tokens)]
    starts = [token.start for token in pair if token is not None and token.start is not None]
    return Parting(
        index,
        min(starts, default=size),
        (first, name),
        (pair[0].id if pair[0] else None, pair[1].id if pair[1] else None),
        (pair[0].text if pair[0] else None, pair[1].text if pair[1] else None),
    )


def _same_until(left: Sequence[Token], right: Sequence[Token]) -> int:
    """The index of the first difference; the shorter length where there is none."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one.id != other.id:
            return index
    return min(len(left), len(right))
