"""WordPiece, the tokenizer of BERT: the longest piece that fits, from the left, and ## (or no ▁) inside a word.

Sources: Devlin et al., "BERT" (2019), `tokenization.py` (BasicTokenizer, WordpieceTokenizer); Schuster and Nakajima,
"Japanese and Korean Voice Search" (2012).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.text.bert_characters import cleaned
from llminspect.text.chunks import WORDS
from llminspect.text.tokenizer import Normalised, Token, Tokenizer, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
        strip_accents: bool | None = None,
    ) -> None:
        if unknown_id is None:
            raise ModelError("a WordPiece tokenizer needs a token for unknown words ([UNK])")
        self.name = name
        self.first, self.inside = first, inside
        self.special_tokens = special_tokens
        self.vocabulary_size = vocabulary_size
        self.unknown_id: int = unknown_id
        self.lowercase, self.strip_accents = lowercase, lowercase if strip_accents is None else strip_accents
        self.loss = "case, " * lowercase + "accents, " * self.strip_accents + self.loss
        self._longest = max(map(len, (*first, *inside)), default=0)
        self._pieces = {token_id: piece for piece, token_id in (*first.items(), *inside.items())}
        self._pieces |= {token_id: spelling for spelling, token_id in special_tokens.items()}
        self._inside_ids = frozenset(inside.values())

    def token_bytes(self, token_id: int) -> bytes:
        if token_id not in self._pieces:
            raise self.outside(token_id)
        return utf8(self._pieces[token_id])

    def decode(self, ids: Iterable[int]) -> bytes:
        """The pieces, with one space in front of each that begins a word, but for the marks that end a sentence or a
        part of one: as the `tokenizers` library and llama.cpp clean spaces up."""
        text = b""
        for token_id in ids:
            piece = self.token_bytes(token_id)
            joined = not text or token_id in self._inside_ids or piece in (b".", b"?", b"!", b",")
            text += piece if joined else b" " + piece
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

    def words(self, text: str, at: int) -> list[Normalised]:
        """Cut at white space and around punctuation and Chinese characters, without control characters and, where they
        are stripped, accents.

        An accent belongs to what stands before it, or to the first word where nothing does."""
        words: list[Normalised] = []
        letters: list[str] = []
        spans: list[tuple[int, int]] = []
        leading: int | None = None
        for character in text:
            end = at + len(utf8(character))
            kind, becomes = cleaned(character, self.lowercase, self.strip_accents)
            if kind in ("alone", "space") and letters:
                words.append(Normalised("".join(letters), spans))
                letters, spans = [], []
            if kind == "alone":
                words.append(Normalised(becomes, [(at, end)] * len(becomes)))
            elif kind != "mark":
                letters += becomes
                spans += [(at, end)] * len(becomes)
            elif before := spans or (words[-1].spans if words else None):
                before[-1] = before[-1][0], end
            elif leading is None:
                leading = at
            at = end
        if letters:
            words.append(Normalised("".join(letters), spans))
        if words and leading is not None:
            words[0].spans[0] = leading, words[0].spans[0][1]
        return words
