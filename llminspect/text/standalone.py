"""Tokenizers that come without a model: words, characters, bytes, A = 1 and B = 2, and OpenAI's encodings by name.

The simplest come first because each shows one reason for the next: letters know no comma, words know no word that they
have not met, characters need a million ids, and bytes (256 ids, every text) make texts long. Byte-level BPE starts from
bytes and merges. A toy model's list of words is here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from llminspect.errors import UsageError
from llminspect.text.chunks import SPACES
from llminspect.text.tokenizer import Token, Tokenizer, utf8


class ByteTokenizer(Tokenizer):
    """Every byte of the UTF-8 text is a token; its id is its value."""

    cut_pattern = SPACES
    name = "bytes"
    kind = "bytes"
    vocabulary_size = 256

    def ids_plain(self, text: str) -> list[int]:
        return list(utf8(text))

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < 256:
            raise self.outside(token_id)
        return bytes([token_id])


class CharacterTokenizer(Tokenizer):
    """Every character is a token; its id is its Unicode code point.

    A byte that is not UTF-8 has the id of the surrogate that carries it, U+DC80 to U+DCFF.
    """

    cut_pattern = SPACES
    name = "characters"
    kind = "characters"
    vocabulary_size = 0x110000

    def ids_plain(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.vocabulary_size:
            raise self.outside(token_id)
        return utf8(chr(token_id))


class LetterTokenizer(Tokenizer):
    """A = 1, B = 2 … Z = 26, either case, and 0 for a space: `HI` is 8 9. Decoding gives capitals.

    Every other character (digits, commas, é) has no number, and saying so is the point: UsageError.
    """

    cut_pattern = SPACES
    name = "letters"
    kind = "letters, A = 1"
    vocabulary_size = 27
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
            raise self.outside(token_id)
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


class WordList(Tokenizer):
    """Words of a list, found longest first; the spaces between them say nothing."""

    kind = "a list of words"
    lossless = False
    loss = "the white space between words"

    def __init__(self, name: str, words: Sequence[str], special: Sequence[str] = (), ends: Sequence[str] = ()) -> None:
        """`special` are words that stand in no text, `ends` those after which nothing is written."""
        self.name = name
        self.words = tuple(words)
        self.special_tokens = {word: self.words.index(word) for word in special}
        self.eos_ids = frozenset(self.words.index(word) for word in ends)
        self.vocabulary_size = len(self.words)

    def encode_plain(self, text: str, at: int) -> list[Token]:
        tokens = []
        place, offset = 0, at
        while place < len(text):
            if text[place].isspace():
                offset += len(utf8(text[place]))
                place += 1
                continue
            known = [word for word in self.words if word not in self.special_tokens]
            word = max((word for word in known if text.startswith(word, place)), key=len, default=None)
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


SIMPLE: dict[str, type[Tokenizer]] = {
    kind.name: kind for kind in (WordTokenizer, CharacterTokenizer, ByteTokenizer, LetterTokenizer)
}


def standalone_tokenizer(name: str, read_table: Callable[[str], list[bytes]]) -> Tokenizer | None:
    """The tokenizer called `name` (also an OpenAI model's name), or None where `name` is none of these.

    `read_table` gives the tokens of one of OpenAI's rank tables by rank (`files.encodings.rank_table`).
    """
    if name in SIMPLE:
        return SIMPLE[name]()
    from llminspect.text.openai_formula import formula_of
    from llminspect.text.tiktoken_encodings import TIKTOKEN_NAMES, TiktokenTokenizer, encoding_of_openai_model

    encoding = name if name in TIKTOKEN_NAMES else encoding_of_openai_model(name)
    if encoding is None:
        return None
    tokenizer = TiktokenTokenizer(encoding, read_table)
    tokenizer.chat_formula = formula_of(name, encoding)
    if encoding == "o200k_harmony":
        from llminspect.text.harmony import TEMPLATE

        tokenizer.chat_template = TEMPLATE.strip()
    return tokenizer


def standalone_names() -> tuple[str, ...]:
    """The names of all of them, without OpenAI's model names."""
    from llminspect.text.tiktoken_encodings import TIKTOKEN_NAMES

    return (*SIMPLE, *TIKTOKEN_NAMES)
