"""Byte-level byte-pair encoding: start from bytes, merge the pair of lowest rank, again and again.

Sources: Gage, "A New Algorithm for Data Compression" (1994); Sennrich, Haddow and Birch, "Neural Machine Translation of
Rare Words with Subword Units" (2016); Radford et al., "Language Models are Unsupervised Multitask Learners" (2019) for
merging bytes instead of characters and for the alphabet that spells them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import AnyStr, Generic

from llminspect.core.dataclass import dataclass
from llminspect.text.chunks import WORDS
from llminspect.text.pretokenize import Patterns, cuts_before_spaces, pretokenize
from llminspect.text.tokenizer import Token, Tokenizer, utf8

BLOCK = 1 << 15
"""A longer word than this many symbols is merged block by block."""


@dataclass(frozen=True)
class Merge(Generic[AnyStr]):
    """One merge: the pair, its rank, and where the left one stands, counted in the symbols that the word began with."""

    left: AnyStr
    right: AnyStr
    rank: int
    position: int


def merge_pairs(
    parts: list[AnyStr], ranks: Mapping[AnyStr, int], joiner: AnyStr, trace: list[Merge[AnyStr]] | None = None
) -> list[AnyStr]:
    """Merge neighbours, lowest rank first and leftmost first among equals, until no pair has a rank.

    The rank of a pair is looked up as `left + joiner + right`: a GGUF writes its merges with a space between (no symbol
    holds one), tiktoken ranks the merged bytes themselves. A heap of candidates and a linked list of parts make it
    O(n log n) in the length of the word, where scanning for the best pair each time would be O(n²).
    """
    n = len(parts)
    parts = parts.copy()
    following, previous = list(range(1, n + 1)), list(range(-1, n - 1))
    rank_at = [ranks.get(parts[i] + joiner + parts[i + 1], -1) for i in range(n - 1)]
    rank_at.append(-1)
    heap = [rank * n + i for i, rank in enumerate(rank_at) if rank >= 0]
    heapify(heap)
    while heap:
        rank, i = divmod(heappop(heap), n)
        if rank_at[i] != rank:
            continue  # One of the two has been merged with its other neighbour since.
        j = following[i]
        if trace is not None:
            trace.append(Merge(parts[i], parts[j], rank, i))
        parts[i] += parts[j]
        parts[j], rank_at[j] = parts[j][:0], -1
        following[i] = following[j]
        if following[i] < n:
            previous[following[i]] = i
        for left in (previous[i], i):
            if left < 0:
                continue
            right = following[left]
            rank = -1 if right >= n else ranks.get(parts[left] + joiner + parts[right], -1)
            rank_at[left] = rank
            if rank >= 0:
                heappush(heap, rank * n + left)
    return [part for part in parts if part]


def merge_word(word: AnyStr, ranks: Mapping[AnyStr, int], joiner: AnyStr, block: int = BLOCK) -> list[AnyStr]:
    """The tokens of one word that starts as single characters (str) or bytes, in memory bounded by `block`.

    A sequence of tokens is what merging the whole gives if and only if every two neighbours are what merging just
    those two gives (Berglund and van der Merwe, "Formalizing BPE Tokenization", 2023). So a long word is merged in
    blocks, and a block is joined to what is done where the two tokens at the joint pass that check. Equal blocks (ten
    million times the same letter) are merged once.
    """

    def merged(piece: AnyStr) -> list[AnyStr]:
        if piece not in seen:
            if len(seen) > 64:
                seen.clear()
            seen[piece] = merge_pairs([piece[i : i + 1] for i in range(len(piece))], ranks, joiner)
        return seen[piece]

    seen: dict[AnyStr, list[AnyStr]] = {}
    done: list[AnyStr] = []
    start, size = 0, block
    while True:
        tokens = merged(word[start : start + size])
        if done and tokens and merged(done[-1] + tokens[0]) != [done[-1], tokens[0]]:
            start -= len(done.pop())
            size *= 2  # Twice as far ahead from now on, so that this ends whatever the merges are.
            continue
        if start + size >= len(word):
            return done + tokens
        # The last tokens of a block may look different once what follows is known.
        keep = tokens[: max(1, len(tokens) - 8)]
        done += keep
        start += sum(map(len, keep))


_PRINTABLE = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
_OTHERS = iter(range(0x100, 0x200))
BYTE_ALPHABET = "".join(chr(byte if byte in _PRINTABLE else next(_OTHERS)) for byte in range(256))
"""The character that spells each of the 256 bytes in a byte-level vocabulary, in order.

Printable bytes of Latin-1 spell themselves, the others take the characters from U+0100 on, so that a vocabulary is a
list of visible strings: a space is Ġ (U+0120), a line break Ċ. Source: Radford et al. (2019), encoder.py.
"""
_SPELLING = dict(enumerate(BYTE_ALPHABET))
_VALUES = {character: bytes([byte]) for byte, character in _SPELLING.items()}


def spell(data: bytes) -> str:
    """Bytes in the byte alphabet."""
    return data.decode("latin-1").translate(_SPELLING)


def unspell(token: str) -> bytes:
    """The bytes that a token of a byte-level vocabulary stands for; a character outside the alphabet is itself."""
    return b"".join(_VALUES.get(character) or utf8(character) for character in token)


def missing_bytes(vocabulary: Container[str]) -> bytes:
    """The bytes for which a byte-level vocabulary has no token."""
    return bytes(byte for byte, character in enumerate(BYTE_ALPHABET) if character not in vocabulary)


A_WORD = 8
"""What it costs to remember a word at all, in characters."""


class WordCache:
    """Remembers what the words of a text became: text repeats itself, and merging is the slow part."""

    SIZE = 1 << 21
    """What is remembered at most, in characters and ids: some 60 MB, whether the words are short or long."""

    def __init__(self, compute: Callable[[str], list[int]]) -> None:
        self._compute = compute
        self._held = 0
        self._known: dict[str, list[int]] = {}

    def ids(self, pieces: Sequence[str]) -> list[int]:
        known = self._known
        ids: list[int] = []
        for piece in pieces:
            found = known.get(piece)
            if found is None:
                found = self._compute(piece)
                if self._held >= self.SIZE:
                    known.clear()
                    self._held = 0
                if len(piece) <= 256:
                    known[piece] = found
                    self._held += len(piece) + len(found) + A_WORD
            ids += found
        return ids


class ByteLevelBPE(Tokenizer):
    """A byte-level vocabulary with its merges, as a GGUF of kind "gpt2" holds them.

    A byte that the vocabulary has no token for (SmolLM2 lacks 21 of the 256, most of which no UTF-8 text holds) is
    dropped, as llama.cpp drops it: no token's span covers it, and the tokenizer says that it is not lossless.
    """

    kind = "byte-level BPE"

    def __init__(
        self,
        name: str,
        tokens: Sequence[str],
        merges: Sequence[str],
        patterns: Patterns,
        special_tokens: Mapping[str, int],
        always_tokens: Mapping[str, int],
        ignore_merges: bool = False,
    ) -> None:
        self.name, self.patterns, self.ignore_merges = name, patterns, ignore_merges
        self._tokens, self.vocabulary_size = tokens, len(tokens)
        self.special_tokens, self.always_tokens = special_tokens, always_tokens
        self.ranks = dict(zip(merges, range(len(merges)), strict=True))
        self.ids = dict(zip(tokens, range(len(tokens)), strict=True))
        self._literal = {*special_tokens.values(), *always_tokens.values()}
        self._cache = WordCache(self.word_ids)
        self._data: dict[int, bytes] = {}
        self.missing_bytes = missing_bytes(self.ids)
        self.lossless = not self.missing_bytes
        if self.missing_bytes:
            listed = self.missing_bytes.hex(" ")
            self.loss = f"{len(self.missing_bytes)} of the 256 bytes, for which the vocabulary has no token ({listed})"

    @cached_property
    def cut_pattern(self) -> str | None:  # type: ignore[override]
        return WORDS if cuts_before_spaces(self.patterns) else None

    def token_bytes(self, token_id: int) -> bytes:
        if token_id in self._data:
            return self._data[token_id]
        if not 0 <= token_id < len(self._tokens):
            raise self.outside(token_id)
        token = self._tokens[token_id]
        data = utf8(token) if token_id in self._literal else unspell(token)
        self._data[token_id] = data
        return data

    def pieces(self, text: str) -> list[str]:
        """The words that no merge crosses."""
        return pretokenize(text, self.patterns)

    def ids_plain(self, text: str) -> list[int]:
        return self._cache.ids(self.pieces(text))

    def encode_plain(self, text: str, at: int) -> list[Token]:
        tokens = []
        for piece in self.pieces(text):
            data = utf8(piece)
            end = 0
            for token_id in self._cache.ids([piece]):
                token = self.token_bytes(token_id)
                # Not simply where the last token ended: a byte without a token lies between.
                start = data.find(token, end)
                end = start + len(token)
                tokens.append(Token(token_id, token, at + start, at + end))
            at += len(data)
        return tokens

    def word_ids(self, piece: str) -> list[int]:
        """The ids of one word of `pieces`."""
        word = spell(utf8(piece))
        if self.ignore_merges and word in self.ids:
            return [self.ids[word]]
        ids = []
        for token in merge_word(word, self.ranks, " "):
            if token in self.ids:
                ids.append(self.ids[token])
            else:
                ids += [self.ids[character] for character in token if character in self.ids]
        return ids
