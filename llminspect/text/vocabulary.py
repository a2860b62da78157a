"""Looking through a vocabulary, keeping it to a model's embedding, and cutting a text to a number of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import translate
from heapq import nlargest
from typing import Literal

from llminspect.errors import ModelError, UsageError
from llminspect.text.tokenizer import Token, Tokenizer


def entries(tokenizer: Tokenizer) -> Iterator[Token]:
    """Every token, by id; ids that the vocabulary leaves out are not among them."""
    special = frozenset(tokenizer.special_tokens.values())
    for token_id in range(tokenizer.vocabulary_size):
        try:
            data = tokenizer.token_bytes(token_id)
        except UsageError:
            continue
        yield Token(token_id, data, None, None, token_id in special)


def search(
    tokenizer: Tokenizer, *, glob: str | None = None, special: bool = False, unreachable: bool = False
) -> Iterator[Token]:
    """The tokens that meet every condition, by id.

    `glob` is matched against the whole text of a token, case and leading space included (`* the*`, `???`, `[A-Z]*`);
    `unreachable` are those that tokenizing their own text never gives: left-overs of training. Special tokens
    are not among them, because a special spelling gives them.
    """
    always = frozenset(tokenizer.always_tokens.values())
    matches = re.compile(translate(glob)).match if glob is not None else None
    for entry in entries(tokenizer):
        text = entry.text
        if (
            (matches is None or matches(text))
            and (not special or entry.special)
            and (not unreachable or not (entry.special or entry.id in always or tokenizer.reaches(entry.id)))
        ):
            yield entry


def longest(found: Iterable[Token], number: int, special: bool = False) -> list[Token]:
    """The entries of most characters, the longest first; among equals the lower id first. `special`: those as well."""
    return nlargest(number, (e for e in found if special or not e.special), key=lambda e: (len(e.text), -e.id))


def kept_to(tokenizer: Tokenizer | None, rows: int | None) -> Tokenizer | None:
    """The tokenizer, kept to a model whose embedding has so many rows.

    Special tokens beyond, which no plain text gives, are left out: Gemma 3 has one for images that its small models
    lack. Raises ModelError for other ids beyond.
    """
    if tokenizer is None or rows is None or tokenizer.vocabulary_size <= rows:
        return tokenizer
    size = tokenizer.vocabulary_size
    beyond = {spelling: i for spelling, i in tokenizer.special_tokens.items() if i >= rows}
    if len({*beyond.values()}) < size - rows:
        raise ModelError(
            f"the tokenizer has {size} ids, and the model's embedding a row for {rows} of them",
            "the two do not belong together: take the tokenizer that the model was made with",
        )
    tokenizer.special_tokens = {spelling: i for spelling, i in tokenizer.special_tokens.items() if i < rows}
    tokenizer.vocabulary_size = rows
    listed = ", ".join(sorted(beyond, key=beyond.__getitem__)[:3]) + ", …" * (len(beyond) > 3)
    tokenizer.note = f"the model has no row for {len(beyond)} of its tokenizer's special tokens ({listed}): left out"
    return tokenizer


def truncate(
    tokens: Sequence[Token], number: int, side: Literal["start", "end"] = "end", inside_characters: bool = False
) -> list[Token]:
    """At most `number` of the tokens, without those of one side, so that no character is cut in two.

    A character can be several tokens: where the cut would fall inside one, all of it goes, unless `inside_characters`.
    Raises UsageError for a negative number.
    """
    if number < 0:
        raise UsageError(f"a text cannot be cut to {number} tokens", "give 0 or more")
    if number >= len(tokens):
        return list(tokens)
    data = [token.data for token in tokens]
    if side == "end":
        cut, step = number, -1
    else:
        cut, step = len(tokens) - number, 1
    while not inside_characters and 0 < cut < len(tokens) and _inside_character(data[:cut], data[cut:]):
        cut += step
    return list(tokens[:cut] if side == "end" else tokens[cut:])


def _inside_character(before: Sequence[bytes], after: Sequence[bytes]) -> bool:
    """Whether a character begun in `before` goes on in `after`."""
    tail = b"".join(before[-4:])[-3:]
    head = b"".join(after[:4])[:3]
    if not head or head[0] & 0xC0 != 0x80:
        return False
    for begun in range(1, len(tail) + 1):
        lead = tail[-begun]
        if lead & 0xC0 != 0x80:
            length = 2 if 0xC2 <= lead <= 0xDF else 3 if lead & 0xF0 == 0xE0 else 4 if 0xF0 <= lead <= 0xF4 else 1
            return length > begun
    return False
