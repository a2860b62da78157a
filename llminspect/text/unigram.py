"""SentencePiece's unigram model, as a GGUF of kind "t5" holds it: of all ways to cut a word, the most probable.

Sources: Kudo, "Subword Regularization" (2018), section 3.2; Viterbi, "Error Bounds for Convolutional Codes" (1967);
sentencepiece `normalizer.cc` for the map of characters, whose trie is that of darts-clone.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from llminspect.errors import ModelError
from llminspect.text.sentencepiece import SPACE, Pieces, PieceTokenizer
from llminspect.text.tokenizer import Normalised, utf8
from llminspect.text.tokenizer_bounds import MOST_GROWTH, longest_replacement

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN_PENALTY = 10.0
"""How far an unknown character scores below the least probable token (sentencepiece `kUnkPenalty`)."""


class Unigram(PieceTokenizer):
    """The best path through all tokens that a word could be cut into."""

    kind = "Unigram"

    def __init__(
        self, name: str, pieces: Pieces, remove_extra_spaces: bool = True, characters: CharacterMap | None = None
    ) -> None:
        super().__init__(name, pieces)
        self.unknown_score = min(self.scores.values(), default=0.0) - UNKNOWN_PENALTY
        self._remove_extra_spaces = remove_extra_spaces
        self._characters = characters
        if remove_extra_spaces and not self.adds_space:
            self.cut_pattern = None  # The space after a cut would be an extra one.
        self._longest: dict[str, int] = {}
        for token in self.ids:
            self._longest[token[:1]] = max(self._longest.get(token[:1], 0), len(token))
        if characters is not None or remove_extra_spaces:
            self.loss += ", and what normalising changes (spellings of one character, extra spaces)"

    def normalise(self, text: str, at: int) -> Normalised:
        """Characters mapped, spaces at both ends taken off and runs of them made one, a ▁ in front, spaces as ▁."""
        characters = list(self._mapped(text, at))
        if self._remove_extra_spaces:
            characters = _one_space_each(characters)
        if self.adds_space and characters:
            characters.insert(0, (" ", characters[0][1], characters[0][1]))
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

    def segment(self, word: str) -> list[str]:
        return [text for text, _, _ in self.best_path(word)]

    def best_path(self, word: str) -> list[tuple[str, float, float]]:
        """The tokens of the best way: each with its score (log probability) and the sum up to it.

        Viterbi: the best way to each place extends the best way to an earlier one. O(n · longest token).
        """
        total = [0.0] + [float("-inf")] * len(word)
        came_from = [0] * (len(word) + 1)
        for start in range(len(word)):
            longest = self._longest.get(word[start], 0)
            for end in range(start + 1, min(len(word), start + max(longest, 1)) + 1):
                score = self.scores.get(word[start:end])
                if score is None:
                    if end > start + 1:
                        continue
                    score = self.unknown_score
                if total[start] + score > total[end]:
                    total[end], came_from[end] = total[start] + score, start
        steps: list[tuple[str, float, float]] = []
        end, after_unknown = len(word), False
        while end > 0:
            start = came_from[end]
            text, score, reached = word[start:end], total[end] - total[start], total[end]
            unknown = text not in self.scores and not self._byte_ids
            if unknown and after_unknown:
                # Unknown characters side by side are one unknown token.
                text, score, reached = text + steps[-1][0], score + steps[-1][1], steps.pop()[2]
            steps.append((text, score, reached))
            end, after_unknown = start, unknown
        return steps[::-1]


def _one_space_each(characters: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    kept: list[tuple[str, int, int]] = []
    for item in characters:
        if item[0] != " " or (kept and kept[-1][0] != " "):
            kept.append(item)
    if kept and kept[-1][0] == " ":
        kept.pop()
    return kept


class CharacterMap:
    """sentencepiece's `precompiled_charsmap`: strings and what each becomes, as a double-array trie.

    A blob: the size of the trie in bytes (uint32), the trie (uint32 each), then the replacements, each ended by NUL. A
    unit of the trie holds the label that leads to it, whether a value hangs below it, and how far away its children
    are. Raises ModelError where the blob makes no sense.
    """

    def __init__(self, blob: bytes) -> None:
        size = int.from_bytes(blob[:4], "little")
        if len(blob) < 4 or size % 4 or not 0 < size <= len(blob) - 4:
            raise ModelError("the tokenizer's map of characters (precompiled_charsmap) is damaged")
        if longest_replacement(blob) > MOST_GROWTH:
            raise ModelError("the tokenizer's map of characters (precompiled_charsmap) makes a long text of one")
        self._units = struct.unpack_from(f"<{size // 4}I", blob, 4)
        self._replacements = blob[4 + size :]
        self._starts = {chr(byte) for byte in range(128) if self._child(0, byte) is not None}

    def longest(self, text: str, place: int) -> tuple[int, str | None]:
        """How many characters at `place` are replaced, by what; (1, None) where the character stays."""
        if text[place].isascii() and text[place] not in self._starts:
            return 1, None
        node = 0
        result: tuple[int, str | None] = (1, None)
        for length, character in enumerate(text[place : place + 32], 1):
            for byte in utf8(character):
                child = self._child(node, byte)
                if child is None:
                    return result
                node = child
            leaf = self._offset(node)
            if self._units[node] & 0x100 and leaf < len(self._units):
                start = self._units[leaf] & 0x7FFFFFFF
                end = self._replacements.find(b"\0", start)
                replacement = self._replacements[start : len(self._replacements) if end < 0 else end]
                result = length, replacement.decode("utf-8", "replace")
        return result

    def _offset(self, node: int) -> int:
        unit = self._units[node]
        return node ^ ((unit >> 10) << ((unit & 0x200) >> 6))

    def _child(self, node: int, byte: int) -> int | None:
        child = self._offset(node) ^ byte
        # The label has bit 31 clear; a leaf has it set and is no child.
        return child if child < len(self._units) and self._units[child] & 0x800000FF == byte else None
