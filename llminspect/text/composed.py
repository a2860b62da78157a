"""A tokenizer of ranks that composes characters first (NFC), as Qwen's first one does.

Source: Qwen, `tokenization_qwen.py` (`unicodedata.normalize("NFC", text)`); Unicode Standard Annex 15.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING
from unicodedata import combining, is_normalized, normalize

from llminspect.text.tiktoken_encodings import TiktokenTokenizer
from llminspect.text.tokenizer import Token, utf8

if TYPE_CHECKING:
    from collections.abc import Iterator


class ComposingTokenizer(TiktokenTokenizer):
    """A composed character owns all the bytes that it was made from."""

    lossless = False
    loss = "how characters are composed (NFC)"

    def pieces(self, text: str) -> list[str]:
        return super().pieces(normalize("NFC", text))

    def ids_plain(self, text: str) -> list[int]:
        return super().ids_plain(normalize("NFC", text))

    def count_plain(self, text: str) -> int:
        return super().count_plain(normalize("NFC", text))

    def encode_plain(self, text: str, at: int) -> list[Token]:
        tokens = super().encode_plain(text, 0)
        if is_normalized("NFC", text):
            return [replace(token, start=(token.start or 0) + at, end=(token.end or 0) + at) for token in tokens]
        before, after = [0], [0]
        for stretch in stretches(text):
            before.append(before[-1] + len(utf8(stretch)))
            after.append(after[-1] + len(utf8(normalize("NFC", stretch))))

        def place(byte: int) -> int:
            """The byte of the text as it was; inside a changed stretch as far in as there is room."""
            number = min(bisect_right(after, byte), len(after) - 1) - 1
            return at + min(before[number] + byte - after[number], before[number + 1]) if byte < after[-1] else end

        end = at + before[-1]
        return [replace(token, start=place(token.start or 0), end=place(token.end or 0)) for token in tokens]


def stretches(text: str) -> Iterator[str]:
    """The text in pieces that are composed each by itself.

    >>> [len(stretch) for stretch in stretches("a\\u0301b")]
    [2, 1]
    """
    stretch = ""
    for character in text:
        alone = not combining(character) and normalize("NFC", stretch + character) == normalize(
            "NFC", stretch
        ) + normalize("NFC", character)
        if alone and stretch:
            yield stretch
            stretch = ""
        stretch += character
    if stretch:
        yield stretch
