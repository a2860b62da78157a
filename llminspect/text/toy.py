"""The tokenizer of the toy models: a handful of whole words, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import UsageError
from llminspect.text.tokenizer import Token, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class WordList(Tokenizer):
    """Words of a list, found longest first; the spaces between them say nothing."""

    kind = "a list of words"
    lossless = False
    loss = "the white space between words"

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.name = name
        self.words = tuple(words)
        self.vocabulary_size = len(self.words)
        self.special_tokens = {}

    def encode_plain(self, text: str, at: int) -> list[Token]:
        tokens = []
        place, offset = 0, at
        while place < len(text):
            if text[place].isspace():
                offset += len(text[place].encode("utf-8", "surrogateescape"))
                place += 1
                continue
            word = max((word for word in self.words if text.startswith(word, place)), key=len, default=None)
            if word is None:
                strange = text[place:].split()[0]
                raise UsageError(f"the model {self.name} has no word {strange!r}", f"it knows {', '.join(self.words)}")
            data = word.encode()
            tokens.append(Token(self.words.index(word), data, offset, offset + len(data)))
            place, offset = place + len(word), offset + len(data)
        return tokens

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < len(self.words):
            raise UsageError(f"id {token_id} is outside the vocabulary", f"ids run from 0 to {len(self.words) - 1}")
        return self.words[token_id].encode()

    def decode(self, ids: Iterable[int]) -> bytes:
        """The words with a space between, none before a mark."""
        text = b""
        for token_id in ids:
            word = self.token_bytes(token_id)
            text += b" " + word if text and word.isalnum() else word
        return text
