"""What every tokenizer can do, whichever way it cuts text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from llminspect.errors import UsageError
from llminspect.text.special_tokens import Parse, Range, Strips, split_at_specials

if TYPE_CHECKING:
    from llminspect.text.openai_formula import ChatFormula

PairPart: TypeAlias = int | Literal["first", "second"]
"""Of two texts together: a special token by its id, or one of the texts."""


def utf8(text: str) -> bytes:
    """The bytes of a text, with those that were not UTF-8 (`surrogateescape`) as they came.

    A surrogate that stands for no byte (`"\\ud800"` in a JSON document) is no character: it becomes U+FFFD.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        lone = {code: "\ufffd" for code in range(0xD800, 0xE000) if not 0xDC80 <= code <= 0xDCFF}
        return text.translate(lone).encode("utf-8", "surrogateescape")


def canonical(text: str) -> str:
    """The same bytes as the one text that stands for them: bytes that are UTF-8 as characters, others escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return utf8(text).decode("utf-8", "surrogateescape")
    return text


def readable(text: str) -> str:
    """The same number of characters, with U+FFFD for bytes that are not UTF-8: the library takes only whole ones."""
    if text.isascii():
        return text
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text.

    `data` are the bytes that the token stands for in the vocabulary; `start` and `end` the span in the UTF-8 bytes of
    the input that it came from, both None where the token is not of the input (an added BOS). The spans of a text's
    tokens are in order and do not overlap; where a tokenizer changes the text first (lower case, Unicode
    normalisation) the span still points into the text as given.
    """

    id: int
    data: bytes
    start: int | None
    end: int | None
    special: bool = False

    @property
    def text(self) -> str:
        """The token's text, with U+FFFD where its bytes are not whole characters."""
        return self.data.decode("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text or word as the vocabulary spells it, and for each character the bytes of the input that it came from."""

    text: str
    spans: list[tuple[int, int]]

    def span(self, first: int, last: int, taken: int) -> tuple[int, int]:
        """The bytes of the characters from `first` to before `last`, without those before `taken`.

        One character of the input may have become several: what the first took, the next does not have.
        """
        start = max(taken, self.spans[first][0])
        return start, max(start, self.spans[last - 1][1])


class Tokenizer(ABC):
    """Text to ids and back.

    Text is `str`; bytes that are not UTF-8 travel in it as lone surrogates (`surrogateescape`), so that arbitrary
    bytes can be tokenized by a tokenizer that works on bytes.
    """

    name: str
    kind: str
    """The algorithm, for people: "byte-level BPE", "WordPiece", "words" …"""
    vocabulary_size: int
    special_tokens: Mapping[str, int] = MappingProxyType({})
    """The spelling of each special token, and its id."""
    always_tokens: Mapping[str, int] = MappingProxyType({})
    """Spellings that are tokens whatever `parse` says: what a GGUF calls user-defined (line breaks, HTML tags)."""
    strips: Strips = Strips()
    """Which of these tokens take white space beside them."""
    bos_id: int | None = None
    end_id: int | None = None
    """What the model's files call EOS: a chat template's `eos_token`."""
    eos_ids: frozenset[int] = frozenset()
    """Ids at which generation stops."""
    mask_id: int | None = None
    unknown_id: int | None = None
    prefix_ids: tuple[int, ...] = ()
    """What the model was made to expect before a text (BOS, CLS)."""
    suffix_ids: tuple[int, ...] = ()
    """… and after it (SEP, EOS)."""
    pair_template: Sequence[tuple[PairPart, int]] = ()
    """How two texts stand together, each part with its segment; nothing where the model's files do not say."""
    lossless: bool = True
    """Whether decoding gives back every text byte by byte."""
    loss: str = ""
    """What a tokenizer that is not lossless loses, in words."""
    missing_bytes: bytes = b""
    """Bytes that no token holds, so that a text is read without them."""
    learns: bool = False
    """Whether the id of a word hangs on the texts that came before: then one tokenizer has to see all of them."""
    note: str = ""
    """What to know about how it was read, in words."""
    chat_template: str | None = None
    tool_template: str | None = None
    """The chat template for a conversation with tools, where the model has one of its own for it."""
    chat_formula: ChatFormula | None = None
    """How the tokens of a chat are counted, where nobody knows the template."""
    cut_pattern: str | None = None
    """Matches the character before each place where a text may be cut without changing its tokens (`chunks.py`)."""
    adds_space: bool = False
    """Whether a space is put in front of a text; what goes on from a cut is then given without its first space."""

    def encode_plain(self, text: str, at: int) -> list[Token]:
        """Cut a text in which nothing is special, and whose first byte is byte `at` of the input, into tokens.

        Unless a tokenizer says otherwise they are those of `ids_plain`, and each begins where the last one ends. Raises
        UsageError where the text holds something that this tokenizer has no token for.
        """
        tokens = []
        for token_id in self.ids_plain(text):
            data = self.token_bytes(token_id)
            tokens.append(Token(token_id, data, at, at + len(data)))
            at += len(data)
        return tokens

    @abstractmethod
    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that an id stands for. Raises UsageError for an id outside the vocabulary."""

    def shown_bytes(self, token_id: int) -> bytes:
        """The same; `#115` for a row of a model's vocabulary that no token fills (padding)."""
        try:
            return self.token_bytes(token_id)
        except UsageError:
            return f"#{token_id}".encode()

    def outside(self, token_id: int) -> UsageError:
        """What to say to an id that is no token's."""
        return UsageError(f"the id {token_id} is outside the vocabulary", f"ids are 0 to {self.vocabulary_size - 1}")

    def ids_plain(self, text: str) -> list[int]:
        """Only the ids of `encode_plain`, for speed. Every tokenizer defines one of the two."""
        return [token.id for token in self.encode_plain(text, 0)]

    def count_plain(self, text: str) -> int:
        """Only how many tokens `encode_plain` gives, for speed."""
        return len(self.ids_plain(text))

    def encode(self, text: str, parse: Parse = "text") -> list[Token]:
        """Cut `text` into tokens, without prefix and suffix.

        Raises UsageError where `parse` is "error" and the text spells a special token, or where the text holds
        something that this tokenizer has no token for.
        """
        return self._encode_parts(self._parts(canonical(text), parse))

    def encode_protected(self, text: str, protected: Sequence[Range]) -> list[Token]:
        """`encode` of a text in which special tokens count, but not where they reach into one of the `protected` ranges
        of characters: what a template writes around messages of other people."""
        return self._encode_parts(self._parts(text, "special", protected=protected))

    def _parts(
        self, text: str, parse: Parse, at: int = 0, protected: Sequence[Range] = ()
    ) -> Iterator[tuple[str, int | None]]:
        specials, always = self.special_tokens, self.always_tokens
        return split_at_specials(text, specials, parse, always, at, strips=self.strips, protected=protected)

    def _encode_parts(self, parts: Iterable[tuple[str, int | None]]) -> list[Token]:
        tokens: list[Token] = []
        special_ids, at = set(self.special_tokens.values()), 0
        for part, token_id in parts:
            size = len(utf8(part))
            if token_id is None:
                tokens += self.encode_plain(part, at)
            else:
                tokens.append(Token(token_id, self.token_bytes(token_id), at, at + size, token_id in special_ids))
            at += size
        return tokens

    def encode_ids(self, text: str, parse: Parse = "text") -> list[int]:
        """Only the ids of `encode`, for speed."""
        ids: list[int] = []
        for part, token_id in self._parts(canonical(text), parse):
            if token_id is None:
                ids += self.ids_plain(part)
            else:
                ids.append(token_id)
        return ids

    def count(self, text: str, parse: Parse = "text", *, at: int = 0, goes_on: bool = False) -> int:
        """Only how many tokens `encode` gives, for speed.

        `goes_on`: the text goes on where another was cut (`cut_pattern`). Raises as `encode` does; byte `at` of the
        input is the text's first.
        """
        count = 0
        text = canonical(text)
        done = 0
        for part, token_id in self._parts(text, parse, at):
            if token_id is not None:
                count += 1
            else:
                # A tokenizer that puts a space in front of a text puts this one.
                plain = part.removeprefix(" ") if goes_on and self.adds_space else part
                try:
                    count += self.count_plain(plain)
                except UsageError:
                    self.encode_plain(part, at + len(utf8(text[:done])))  # Fails alike, and knows the place.
                    raise
            done += len(part)
            goes_on = False
        return count

    def decode(self, ids: Iterable[int]) -> bytes:
        """Ids to bytes. Raises UsageError for an id outside the vocabulary."""
        return b"".join(self.token_bytes(token_id) for token_id in ids)

    def check(self, ids: Iterable[int]) -> None:
        """Raise UsageError for an id outside the vocabulary."""
        for token_id in set(ids):
            self.token_bytes(token_id)

    def shown(self, ids: Sequence[int]) -> bytes:
        """`decode` of ids that a model gave: a row that no token fills is shown as its number."""
        shown, run = list[bytes](), list[int]()
        for token_id in ids:
            try:
                self.token_bytes(token_id)
                run.append(token_id)
            except UsageError:
                shown += [self.decode(run), self.shown_bytes(token_id)]
                run = []
        return b"".join([*shown, self.decode(run)])

    def reaches(self, token_id: int) -> bool:
        """Whether tokenizing a token's own text gives that token."""
        return self.ids_plain(self.token_bytes(token_id).decode("utf-8", "surrogateescape")) == [token_id]

    def wrap(self, tokens: Sequence[Token]) -> list[Token]:
        """Put the prefix and suffix that the model expects around the tokens of a text.

        A prefix that the text already spells (parsed as a special token) is not doubled.
        """

        doubled = tuple(token.id for token in tokens[: len(self.prefix_ids)]) == self.prefix_ids
        return [*([] if doubled else self.wrap_ids(self.prefix_ids)), *tokens, *self.wrap_ids(self.suffix_ids)]

    def wrap_pair(
        self, first: Sequence[Token], second: Sequence[Token], special: bool = True
    ) -> tuple[list[Token], list[int], range]:
        """Two texts as the model expects them together, the segment of each token, and which are of the second text;
        `special`: with what the template puts around them. Raises UsageError where the model's files have no template
        for two."""
        if not self.pair_template:
            raise UsageError(
                f"--pair: the tokenizer of {self.name} does not say how two texts stand together",
                "take an encoder that reads pairs, such as a BERT, or leave out --pair",
            )
        texts, tokens, segments, place = {"first": first, "second": second}, list[Token](), list[int](), range(0)
        for part, segment in self.pair_template:
            here = texts[part] if isinstance(part, str) else self.wrap_ids([part] if special else [])
            place = range(len(tokens), len(tokens) + len(here)) if part == "second" else place
            tokens += here
            segments += [segment] * len(here)
        return tokens, segments, place

    def wrap_ids(self, ids: Sequence[int]) -> list[Token]:
        """Tokens that stand around a text and are of no byte of it."""
        return [Token(token_id, self.token_bytes(token_id), None, None, special=True) for token_id in ids]
