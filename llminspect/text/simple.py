"""The simplest tokenizers there are: words, characters, bytes, and A = 1, B = 2.

They come first because each shows one reason for the next: letters know no comma, words know no word that they have
not met, characters need a million ids, and bytes (256 ids, every text) make texts long. Byte-level BPE starts from
bytes and merges.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from llminspect.errors import UsageError
from llminspect.text.cuts import SPACES
from llminspect.text.tokenizer import Token, Tokenizer, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIMPLE_NAMES = ("words", "characters", "bytes", "letters")


def simple_tokenizer(name: str) -> Tokenizer | None:
    """The tokenizer of this name, or None where it is none of `SIMPLE_NAMES`. Each call gives a new one."""
    classes: dict[str, type[Tokenizer]] = {
        "words": WordTokenizer,
        "characters": CharacterTokenizer,
        "bytes": ByteTokenizer,
        "letters": LetterTokenizer,
    }
    return classes[name]() if name in classes else None


def outside_vocabulary(token_id: int, size: int) -> UsageError:
    return UsageError(f"the id {token_id} is outside the vocabulary", f"ids are 0 to {size - 1}")


class ByteTokenizer(Tokenizer):
    """Every byte of the UTF-8 text is a token; its id is its value."""

    cut_pattern = SPACES
    name = "bytes"
    kind = "bytes"
    vocabulary_size = 256
    special_tokens = MappingProxyType({})

    def encode_plain(self, text: str, at: int) -> list[Token]:
        return [Token(value, bytes([value]), i, i + 1) for i, value in enumerate(utf8(text), at)]

    def ids_plain(self, text: str) -> list[int]:
        return list(utf8(text))

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < 256:
            raise outside_vocabulary(token_id, 256)
        return bytes([token_id])


class CharacterTokenizer(Tokenizer):
    """Every character is a token; its id is its Unicode code point.

    A byte that is not UTF-8 has the id of the surrogate that carries it, U+DC80 to U+DCFF.
    """

    cut_pattern = SPACES
    name = "characters"
    kind = "characters"
    vocabulary_size = 0x110000
    special_tokens = MappingProxyType({})

    def encode_plain(self, text: str, at: int) -> list[Token]:
        return _in_order(((ord(character), utf8(character)) for character in text), at)

    def ids_plain(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.vocabulary_size:
            raise outside_vocabulary(token_id, self.vocabulary_size)
        return utf8(chr(token_id))


class LetterTokenizer(Tokenizer):
    """A = 1, B = 2 … Z = 26, either case, and 0 for a space: `HI` is 8 9. Decoding gives capitals.

    Every other character (digits, commas, é) has no number, and saying so is the point: UsageError.
    """

    cut_pattern = SPACES
    name = "letters"
    kind = "letters, A = 1"
    vocabulary_size = 27
    special_tokens = MappingProxyType({})
    lossless = False
    loss = "the case of letters"
    alphabet = " ABCDEFGHIJKLMNOPQRSTUVWXYZ"

    def encode_plain(self, text: str, at: int) -> list[Token]:
        tokens = []
        for i, character in enumerate(text, at):
            number = self.alphabet.find(character.upper()) if character.isascii() else -1
            if number < 0:
                raise UsageError(
                    f"the letter code has no number for {character!a} (byte {i})",
                    "it knows A to Z and the space; --model characters knows every character",
                )
            tokens.append(Token(number, character.encode(), i, i + 1))
        return tokens

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.vocabulary_size:
            raise outside_vocabulary(token_id, self.vocabulary_size)
        return self.alphabet[token_id].encode()


class WordTokenizer(Tokenizer):
    """Every word and every punctuation mark is a token; ids count up as words are first met.

    The vocabulary is what this tokenizer has met so far: a real one is fixed before a model is trained, and a word that
    is not in it has no id, which is why models use pieces of words. White space separates and is no token; decoding
    puts one space between words.
    """

    cut_pattern = SPACES
    name = "words"
    kind = "words"
    special_tokens = MappingProxyType({})
    lossless = False
    loss = "the white space between words"
    learns = True

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._words: list[str] = []
        self.vocabulary_size = 0

    def encode_plain(self, text: str, at: int) -> list[Token]:
        return list(self._cut(text, at))

    def _cut(self, text: str, at: int) -> Iterator[Token]:
        import regex  # whose \\w, unlike that of `re`, holds combining marks: a Hindi word stays whole

        end, byte_end = 0, at
        # A word keeps its apostrophes and hyphens ("don't", "mother-in-law").
        for match in regex.finditer(r"\w+(?:['’\-]\w+)*|[^\w\s]", text):
            start = byte_end + len(utf8(text[end : match.start()]))
            word, data = match.group(), utf8(match.group())
            end, byte_end = match.end(), start + len(data)
            if word not in self._ids:
                self._ids[word] = len(self._words)
                self._words.append(word)
                self.vocabulary_size = len(self._words)
            yield Token(self._ids[word], data, start, byte_end)

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < len(self._words):
            raise UsageError(
                f"the id {token_id} is outside the vocabulary of {len(self._words)} words met so far",
                "ids of words mean something only beside the text that they came from",
            )
        return utf8(self._words[token_id])

    def decode(self, ids: Iterable[int]) -> bytes:
        return b" ".join(self.token_bytes(token_id) for token_id in ids)


def _in_order(tokens: Iterable[tuple[int, bytes]], at: int) -> list[Token]:
    """Tokens that cover a text without gaps: each span starts where the last one ended."""
    result = []
    end = at
    for token_id, data in tokens:
        start, end = end, end + len(data)
        result.append(Token(token_id, data, start, end))
    return result
