"""WordPiece, the tokenizer of BERT: the longest piece that fits, from the left, and ## (or no ▁) inside a word.

Sources: Devlin et al., "BERT" (2019), `tokenization.py` (BasicTokenizer, WordpieceTokenizer); Schuster and Nakajima,
"Japanese and Korean Voice Search" (2012).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.text.chunks import WORDS
from llminspect.text.tokenizer import Normalised, Token, Tokenizer, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LONGEST_WORD = 100
"""A word of more characters is unknown, as in BERT's published tokenizers."""


class WordPiece(Tokenizer):
    """`first` and `inside` give the ids of pieces that begin a word and of those that go on with one."""

    kind = "WordPiece"
    cut_pattern = WORDS
    lossless = False
    loss = "white space, control characters and words with characters that are not in the vocabulary"

    def __init__(
        self,
        name: str,
        first: Mapping[str, int],
        inside: Mapping[str, int],
        special_tokens: Mapping[str, int],
        vocabulary_size: int,
        unknown_id: int | None,
        lowercase: bool = True,
    ) -> None:
        if unknown_id is None:
            raise ModelError("a WordPiece tokenizer needs a token for unknown words ([UNK])")
        self.name = name
        self.first, self.inside = first, inside
        self.special_tokens = special_tokens
        self.vocabulary_size = vocabulary_size
        self.unknown_id: int = unknown_id
        self.lowercase = lowercase
        if lowercase:
            self.loss = "case, accents, " + self.loss
        self._longest = max(map(len, (*first, *inside)), default=0)
        self._pieces = {token_id: piece for piece, token_id in (*first.items(), *inside.items())}
        self._pieces |= {token_id: spelling for spelling, token_id in special_tokens.items()}
        self._inside_ids = frozenset(inside.values())

    def token_bytes(self, token_id: int) -> bytes:
        if token_id not in self._pieces:
            raise self.outside(token_id)
        return utf8(self._pieces[token_id])

    def decode(self, ids: Iterable[int]) -> bytes:
        """The pieces, with one space in front of each that begins a word."""
        text = b""
        for token_id in ids:
            space = b" " if text and token_id not in self._inside_ids else b""
            text += space + self.token_bytes(token_id)
        return text

    def reaches(self, token_id: int) -> bool:
        """Whether a text can hold the piece: one word, as normalising leaves it, and its own longest match."""
        piece = self._pieces[token_id]
        words = [word.text for word in self.words(piece, 0)]
        known = self.inside if token_id in self._inside_ids else self.first
        return words == [piece] and len(piece) <= LONGEST_WORD and known.get(piece) == token_id

    def encode_plain(self, text: str, at: int) -> list[Token]:
        tokens: list[Token] = []
        end = at
        for word in self.words(text, at):
            pieces = self.pieces(word.text)
            if pieces is None:
                pieces = [(self.unknown_id, len(word.text))]
            place = 0
            for token_id, length in pieces:
                start, end = word.span(place, place + length, end)
                place += length
                tokens.append(Token(token_id, self.token_bytes(token_id), start, end))
        return tokens

    def pieces(self, word: str) -> list[tuple[int, int]] | None:
        """The ids of a word's pieces, longest match first, and their lengths; None: some part of it is no piece."""
        if len(word) > LONGEST_WORD:
            return None
        pieces = []
        start = 0
        while start < len(word):
            vocabulary = self.inside if start else self.first
            for end in range(min(len(word), start + self._longest), start, -1):
                token_id = vocabulary.get(word[start:end])
                if token_id is not None:
                    pieces.append((token_id, end - start))
                    start = end
                    break
            else:
                return None
        return pieces

    def words(self, text: str, at: int) -> Iterator[Normalised]:
        """Cut at white space and around punctuation and Chinese characters, without control characters and accents."""
        letters: list[str] = []
        spans: list[tuple[int, int]] = []
        for character in text:
            end = at + len(utf8(character))
            kind, normalised = _character(character, self.lowercase)
            if kind != "letter" and letters:
                yield Normalised("".join(letters), spans)
                letters, spans = [], []
            if kind == "alone":
                yield Normalised(normalised, [(at, end)] * len(normalised))
            else:
                letters += normalised
                spans += [(at, end)] * len(normalised)
            at = end
        if letters:
            yield Normalised("".join(letters), spans)


@lru_cache(maxsize=1 << 14)
def _character(character: str, lowercase: bool) -> tuple[str, str]:
    """What a character is ("letter" of a word, a word "alone", "space") and what it becomes."""
    category = unicodedata.category(character)
    if character in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return "space", ""
    if character == "\ufffd" or category in ("Cc", "Cf", "Cn", "Co", "Cs"):
        return "letter", ""  # Taken out, without ending the word.
    if any(low <= ord(character) <= high for low, high in _CHINESE):
        return "alone", character
    if lowercase:
        decomposed = unicodedata.normalize("NFD", character)
        character = "".join(c for c in decomposed if unicodedata.category(c) != "Mn").lower()
    symbol = len(character) == 1 and character.isascii() and character.isprintable() and not character.isalnum()
    if symbol or (len(character) == 1 and unicodedata.category(character).startswith("P")):
        return "alone", character
    return "letter", character


_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # As the `tokenizers` library has it; the original says 2B820.
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""The blocks of CJK ideographs that BERT sets apart, each a word; kana and hangul are letters."""
