"""A `tokenizer.json` reads a text of which parts are other people's: there no special token counts.

The library looks for special tokens in the whole of a text or nowhere. Where a message spells one it reads, in place of
the text, one in which the template's special tokens have spellings that nobody can guess, with a copy of the tokenizer
that knows them by those. All else that the file says of them (the white space they take, whole words only) still holds.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from llminspect.errors import ModelError
from llminspect.text.special_tokens import Range, split_at_specials
from llminspect.text.tokenizer import Token, Tokenizer, utf8
from llminspect.text.tokenizers_library import renamed_model


class SecretSpellings:
    """A copy of a tokenizer with other spellings for its special tokens; `open_copy` makes one of a tokenizer.json."""

    def __init__(self, tokenizer: Tokenizer, written: str, open_copy: Callable[[str], Tokenizer]) -> None:
        # The first and the last character stay: whether a word goes on into the token is seen by them.
        self.secret = {
            text: f"{text[0]}\uffff{secrets.token_hex(16)}{text[-1]}" for text in tokenizer.special_tokens if text
        }
        whole: dict[str, Any] = json.loads(written)
        self.whole_words = {token["content"] for token in whole["added_tokens"] if token.get("single_word")}
        for token in whole["added_tokens"]:
            token["content"] = self.secret.get(token["content"], token["content"])
        whole["model"] = renamed_model(whole["model"], self.secret)
        self.original = tokenizer
        self.copy = open_copy(json.dumps(whole))
        kept = {self.secret[text]: token_id for text, token_id in tokenizer.special_tokens.items() if text}
        if dict(self.copy.special_tokens) != kept:
            raise ModelError(
                f"the special tokens of {tokenizer.name} cannot be kept apart from a message that spells one",
                "take the special token out of the message",
            )

    def encode(self, text: str, protected: Sequence[Range], found: Sequence[Token]) -> list[Token]:
        """The tokens of the text, special ones only outside of the protected ranges of characters; `found` are those
        with no range protected."""
        pieces = list(self._respelled(text, protected, found))
        tokens = self.copy.encode("".join(new for _, new in pieces), "special")
        ids = set(self.original.special_tokens.values())
        return [
            replace(
                token,
                data=self.original.token_bytes(token.id) if token.id in ids else token.data,
                start=None if token.start is None else start,
                end=None if token.end is None else end,
            )
            for token, (start, end) in zip(tokens, _as_before(pieces, tokens), strict=True)
        ]

    def _respelled(self, text: str, protected: Sequence[Range], found: Sequence[Token]) -> Iterator[tuple[str, str]]:
        """The text in pieces, each with what stands in its place.

        Special tokens are where their spelling is, whatever a message beside them says; those that are only found once
        the text is normalised, or only as whole words, are where the library finds them.
        """
        specials, always = self.original.special_tokens, self.original.always_tokens
        places: list[tuple[Range, int]] = []
        at = 0
        for piece, token_id in split_at_specials(text, specials, "special", always, protected=protected):
            if piece in self.secret and piece not in self.whole_words and token_id is not None:
                places.append(((at, at + len(piece)), token_id))
            at += len(piece)
        taken = {place for place, _ in places}
        for place, token_id in _special_places(text, found):
            if place not in taken and not any(_overlap(place, other) for other in (*taken, *protected)):
                places.append((place, token_id))
        spellings, done = {token_id: spelling for spelling, token_id in specials.items()}, 0
        for (start, end), token_id in sorted(places):
            yield text[done:start], text[done:start]
            yield text[start:end], self.secret[spellings[token_id]]
            done = end
        yield text[done:], text[done:]


def _overlap(one: Range, other: Range) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _special_places(text: str, tokens: Sequence[Token]) -> Iterator[tuple[Range, int]]:
    """The characters of each special token, without the white space that it takes."""
    place, byte = 0, 0
    sizes = [len(utf8(character)) for character in text]
    for token in tokens:
        if not token.special or token.start is None or token.end is None or token.start == token.end:
            continue
        while byte < token.start:
            byte, place = byte + sizes[place], place + 1
        start = place
        while byte < token.end:
            byte, place = byte + sizes[place], place + 1
        covered = text[start:place]
        start += len(covered) - len(covered.lstrip())
        yield (start, start + len(covered.strip())), token.id


def _as_before(pieces: Sequence[tuple[str, str]], tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """The spans of the tokens in the bytes of the text as it was."""
    borders = [(0, 0)]
    for old, new in pieces:
        borders.append((borders[-1][0] + len(utf8(old)), borders[-1][1] + len(utf8(new))))
    stretches = list(pairwise(borders))

    def place(at: int, first: int) -> tuple[int, int]:
        while first + 1 < len(stretches) and stretches[first][1][1] <= at:
            first += 1
        (old, new), (end, _) = stretches[first]
        return min(old + at - new, end), first

    start_in = end_in = 0
    for token in tokens:
        if token.start is None or token.end is None or not stretches:
            yield 0, 0
            continue
        start, start_in = place(token.start, start_in)
        end, end_in = place(token.end, end_in)
        yield start, end


def intrudes(text: str, tokens: Sequence[Token], protected: Sequence[Range], unknown: int | None) -> bool:
    """Whether a special token among those of the text stands in one of the protected ranges, or reaches into it.

    The white space that it takes does not count, nor does what is `unknown` unless it is spelt out.
    """
    ranges = iter(protected)
    current = next(ranges, None)
    spellings = {token.id: token.text for token in tokens if token.id == unknown}
    for place, token_id in _special_places(text, tokens):
        while current is not None and current[1] <= place[0]:
            current = next(ranges, None)
        if current is None:
            return False
        if _overlap(place, current) and not (token_id == unknown and spellings[token_id] not in text[slice(*place)]):
            return True
    return False
