"""The map of characters that SentencePiece normalizes with: strings and what each becomes.

Source: sentencepiece `normalizer.cc`; its trie is that of darts-clone.
"""

from __future__ import annotations

import struct

from llminspect.errors import ModelError
from llminspect.text.tokenizer import utf8
from llminspect.text.tokenizer_bounds import MOST_GROWTH, longest_replacement


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
            raise ModelError(
                "the tokenizer's map of characters (precompiled_charsmap) turns one character into a long text"
            )
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
