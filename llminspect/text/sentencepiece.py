"""SentencePiece's byte-pair encoding, as a GGUF of kind "llama" holds it: characters, spaces as ▁, scores for ranks.

Sources: Kudo and Richardson, "SentencePiece" (2018); sentencepiece `bpe_model.cc` and llama.cpp `llama-vocab.cpp` for
the order of merges and the byte fallback.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from llminspect.errors import UsageError
from llminspect.text.bpe import WordCache, merge_word
from llminspect.text.chunks import SPACES
from llminspect.text.tokenizer import Normalised, Token, Tokenizer, utf8

if TYPE_CHECKING:
    from llminspect.text.character_map import CharacterMap
    from llminspect.text.special_tokens import Parse

SPACE = "▁"
"""U+2581, which spells a space in a vocabulary."""

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True)
class Pieces:
    """A vocabulary as a file holds it: each piece with its score, and which of them are no pieces of a text."""

    tokens: Sequence[str]
    scores: Sequence[float]
    special_tokens: Mapping[str, int]
    always_tokens: Mapping[str, int]
    byte_ids: Mapping[int, int]
    """The ids of the tokens that stand for one byte each, by the byte's value."""
    unknown_id: int | None
    space_prefix: bool = True


def escape_spaces(text: str, at: int, prefix: bool) -> Normalised:
    """Spaces become ▁; `prefix` puts one in front, which comes from no byte of the input (an empty span)."""
    spans = [(at, at)] if prefix else []
    for character in text:
        end = at + len(utf8(character))
        spans.append((at, end))
        at = end
    return Normalised((SPACE if prefix else "") + text.replace(" ", SPACE), spans)


class PieceTokenizer(Tokenizer):
    """What SentencePiece's algorithms share: words that begin with ▁, byte fallback, the unknown token."""

    joined_tokens: frozenset[int] = frozenset()
    """Tokens of `always_tokens` at which a text does not begin anew: SentencePiece's own user-defined symbols."""

    def __init__(
        self, name: str, pieces: Pieces, remove_extra_spaces: bool = False, characters: CharacterMap | None = None
    ) -> None:
        self.name = name
        self._remove_extra_spaces, self._characters = remove_extra_spaces, characters
        self.vocabulary_size = len(pieces.tokens)
        self.special_tokens, self.always_tokens = pieces.special_tokens, pieces.always_tokens
        self.unknown_id = pieces.unknown_id
        self.adds_space = pieces.space_prefix
        self._tokens, self._scores = pieces.tokens, pieces.scores
        self._byte_ids = pieces.byte_ids if len(pieces.byte_ids) == 256 else {}
        self._bytes = {token_id: bytes([value]) for value, token_id in pieces.byte_ids.items()}
        self._literal = {*self.special_tokens.values(), *self.always_tokens.values()}
        no_pieces = self._literal | self._bytes.keys()
        self.ids = {token: i for i, token in enumerate(pieces.tokens) if i not in no_pieces}
        self.scores = {token: float(pieces.scores[i]) for token, i in self.ids.items()}
        """The higher, the earlier a token is merged, or the more probable it is."""
        # Where no token runs over the end of a word, words can be cut first, and remembered.
        crossing = any(SPACE in token[1:].lstrip(SPACE) for token in self.ids)
        self.cuts_words = not crossing
        self.cut_pattern = None if crossing else SPACES
        self._cache = WordCache(self.word_ids)
        self.lossless = False
        self.loss = f"the character {SPACE}, which becomes a space"
        if not self._byte_ids:
            self.loss += ", and characters that are not in the vocabulary"
        if remove_extra_spaces and not self.adds_space:
            self.cut_pattern = None  # The space after a cut would be an extra one.
        if characters is not None or remove_extra_spaces:
            self.loss += ", and what normalising changes (spellings of one character, extra spaces)"

    @abstractmethod
    def segment(self, word: str) -> list[str]:
        """Cut a word into tokens of the vocabulary and stretches that are not in it."""

    def normalise(self, text: str, at: int, begins: bool = True, ends: bool = True) -> Normalised:
        """Characters mapped, spaces at both ends taken off and runs of them made one, a ▁ in front, spaces as ▁.

        What does not begin or end a text keeps a space there, and has no ▁ put in front.
        """
        prefix = self.adds_space and begins
        if self._characters is None and not self._remove_extra_spaces:
            return escape_spaces(text, at, prefix)
        characters = list(self._mapped(text, at))
        if self._remove_extra_spaces:
            characters = _one_space_each(characters, begins, ends)
        if prefix and (characters or not ends):
            start = characters[0][1] if characters else at
            characters.insert(0, (" ", start, start))
        joined = "".join(character for character, _, _ in characters)
        return Normalised(joined.replace(" ", SPACE), [(start, end) for _, start, end in characters])

    def _mapped(self, text: str, at: int) -> Iterator[tuple[str, int, int]]:
        """Each character of the normalised text with the bytes that it came from."""
        place = 0
        while place < len(text):
            length, replacement = 1, None
            if self._characters is not None:
                length, replacement = self._characters.longest(text, place)
            source = text[place : place + length]
            end = at + len(utf8(source))
            for character in source if replacement is None else replacement:
                yield character, at, end
            place, at = place + length, end

    def words(self, text: str) -> list[str]:
        """Cut a normalised text in front of each ▁ that follows something else, and around each of `symbols`."""
        if self.symbols:
            parts = self._around_symbols.split(text)
            return [word for part in parts for word in ([part] if part in self.symbols else self._words(part))]
        return self._words(text)

    def _words(self, text: str) -> list[str]:
        return re.findall(f"{SPACE}*[^{SPACE}]+|{SPACE}+", text) if self.cuts_words else [text] * bool(text)

    def token_bytes(self, token_id: int) -> bytes:
        if token_id in self._bytes:
            return self._bytes[token_id]
        if not 0 <= token_id < len(self._tokens):
            raise self.outside(token_id)
        token = self._tokens[token_id]
        return utf8(token if token_id in self._literal else token.replace(SPACE, " "))

    def decode(self, ids: Iterable[int]) -> bytes:
        """Ids to bytes; the space that encoding puts before a text, and after a special token, is taken off."""
        parts: list[bytes] = []
        fresh = self.adds_space
        for token_id in ids:
            data = self.token_bytes(token_id)
            parts.append(data.removeprefix(b" ") if fresh else data)
            fresh = self.adds_space and token_id in self._literal
        return b"".join(parts)

    def reaches(self, token_id: int) -> bool:
        """Whether cutting up a token's own spelling gives that token, whatever stands in front of it."""
        if token_id in self._bytes:
            return bool(self._byte_ids)
        return token_id not in self._literal and self.word_ids(self._tokens[token_id]) == [token_id]

    def ids_plain(self, text: str) -> list[int]:
        return self._cache.ids(self.words(self.normalise(text, 0).text))

    def encode_plain(self, text: str, at: int) -> list[Token]:
        return self._tokens_from(self.normalise(text, at), at)

    def _encode_parts(self, parts: Iterable[tuple[str, int | None]]) -> list[Token]:
        """The tokens of a text's parts, where some tokens may not let the text begin anew."""
        if not self.joined_tokens:
            return super()._encode_parts(parts)
        parts, tokens = list(parts), list[Token]()
        special_ids, at = set(self.special_tokens.values()), 0
        for i, (part, token_id) in enumerate(parts):
            begins = i == 0 or parts[i - 1][1] not in (None, *self.joined_tokens)
            ends = i + 1 == len(parts) or parts[i + 1][1] not in self.joined_tokens
            size = len(utf8(part))
            if token_id is None:
                tokens += self._tokens_from(self.normalise(part, at, begins, ends), at)
            else:
                if token_id in self.joined_tokens and begins and self.adds_space:
                    tokens += self._tokens_from(Normalised(SPACE, [(at, at)]), at)
                tokens.append(Token(token_id, self.token_bytes(token_id), at, at + size, token_id in special_ids))
            at += size
        return tokens

    def encode_ids(self, text: str, parse: Parse = "text") -> list[int]:
        return (
            [token.id for token in self.encode(text, parse)] if self.joined_tokens else super().encode_ids(text, parse)
        )

    def count(self, text: str, parse: Parse = "text", *, at: int = 0, goes_on: bool = False) -> int:
        if self.joined_tokens:
            return len(self.encode_ids(text, parse))
        return super().count(text, parse, at=at, goes_on=goes_on)

    def _tokens_from(self, normalised: Normalised, at: int) -> list[Token]:
        tokens: list[Token] = []
        place, end = 0, at
        for word in self.words(normalised.text):
            for piece in self._segmented(word):
                start, end = normalised.span(place, place + len(piece), end)
                place += len(piece)
                tokens += self._tokens_of(piece, start, end)
        return tokens

    @cached_property
    def symbols(self) -> dict[str, int]:
        """The `joined_tokens` as a normalised text spells them: normalising can make one, as it makes a comma of one of
        full width."""
        return {self._tokens[i].replace(" ", SPACE): i for i in self.joined_tokens if self._tokens[i]}

    @cached_property
    def _around_symbols(self) -> re.Pattern[str]:
        return re.compile(f"({'|'.join(map(re.escape, sorted(self.symbols, key=len, reverse=True)))})")

    def _tokens_of(self, piece: str, start: int, end: int) -> list[Token]:
        ids = self._piece_ids(piece)
        if len(ids) == 1:
            return [Token(ids[0], self.token_bytes(ids[0]), start, end)]
        # Byte fallback: a byte of the input each, where the character is as it stood in the input.
        same = end - start == len(ids)
        cuts = [start + i if same else end for i in range(len(ids))]
        cuts = [start, *cuts[1:], end]
        return [Token(ids[i], self.token_bytes(ids[i]), cuts[i], cuts[i + 1]) for i in range(len(ids))]

    def word_ids(self, word: str) -> list[int]:
        """The ids of one word of `words`."""
        return [token_id for piece in self._segmented(word) for token_id in self._piece_ids(piece)]

    def _segmented(self, word: str) -> list[str]:
        return [word] if word in self.symbols else self.segment(word)

    def _piece_ids(self, piece: str) -> list[int]:
        if piece in self.ids:
            return [self.ids[piece]]
        if piece in self.symbols:
            return [self.symbols[piece]]
        if self._byte_ids:
            return [self._byte_ids[value] for value in utf8(piece.replace(SPACE, " "))]
        if self.unknown_id is None:
            raise UsageError(f"{self.name} has no token for {piece!a}, and none for unknown pieces")
        return [self.unknown_id]


def _one_space_each(characters: list[tuple[str, int, int]], begins: bool, ends: bool) -> list[tuple[str, int, int]]:
    kept: list[tuple[str, int, int]] = []
    for item in characters:
        if item[0] != " " or (kept[-1][0] != " " if kept else not begins):
            kept.append(item)
    while ends and kept and kept[-1][0] in (" ", SPACE):
        kept.pop()
    return kept


class SentencePieceBPE(PieceTokenizer):
    """Merges neighbours into the token of the highest score, leftmost first, until none can be merged."""

    kind = "SentencePiece BPE"

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The tokens in the order of their scores; those of one score have one rank."""
        order = {score: rank for rank, score in enumerate(sorted(set(self._scores), reverse=True))}
        return {token: order[score] for token, score in self.scores.items()}

    def segment(self, word: str) -> list[str]:
        pieces = merge_word(word, self.ranks, "")
        if self._byte_ids or all(piece in self.ids for piece in pieces):
            return pieces
        # Unknown characters side by side are one unknown token.
        groups = groupby(pieces, lambda piece: piece in self.ids)
        return [piece for known, group in groups for piece in (group if known else ["".join(group)])]


def byte_ids(tokens: Sequence[str], candidates: Iterable[int]) -> dict[int, int]:
    """The ids of the tokens that stand for one byte each, spelt `<0x0A>`, by the byte's value."""
    found = {}
    for token_id in candidates:
        match = _BYTE.fullmatch(tokens[token_id])
        if match:
            found[int(match[1], 16)] = token_id
    return found
