"""Where a long text may be cut so that its tokens are those of the parts.

A tokenizer names, as `cut_pattern`, a regular expression that matches the character before such a place.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACES = r"[^\s▁](?= )"
"""In front of a space that follows something else (▁ is a space to SentencePiece). No pattern of a pre-tokenizer goes
on from something else over a space, and none looks back: what follows is cut as if the text began there."""

WORDS = SPACES + r"|[^\W_](?=[\r\n,、。，])"
"""Also between a letter or digit and a line break, a comma, or a Chinese comma or full stop, for tokenizers whose words
hold none of these: tables of numbers, JSON without spaces and Chinese texts have few spaces or none."""


@lru_cache(maxsize=8)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def last_cut(text: str, pattern: str) -> int | None:
    """The last place where `text` may be cut, more than 0 and less than its length; None: there is none."""
    window = 256
    while True:
        start = max(0, len(text) - window)
        found = None
        for found in _compiled(pattern).finditer(text, start):  # noqa: B007 (the last one is wanted)
            pass
        if found is not None:
            return found.end()
        if start == 0:
            return None
        window *= 16


def last_cut_of_bytes(data: bytes, pattern: str) -> int | None:
    """The same for a text in UTF-8, which may end inside a character."""
    window = 1 << 12
    while True:
        start = max(0, len(data) - window)
        while start and start < len(data) and data[start] & 0xC0 == 0x80:
            start -= 1
        text = data[start:].decode("utf-8", "surrogateescape")
        cut = last_cut(text, pattern)
        if cut is not None:
            return start + len(text[:cut].encode("utf-8", "surrogateescape"))
        if start == 0:
            return None
        window *= 16


def blocks(text: str, size: int, pattern: str) -> Iterator[str]:
    """Cut `text` into blocks of about `size` characters, longer where there is nowhere to cut."""
    start, wanted, searched = 0, size, 0
    while len(text) - start > wanted:
        cut = last_cut(text[start + searched : start + wanted], pattern)
        if cut is None:
            wanted, searched = 2 * wanted, wanted - 1
            continue
        end = start + searched + cut
        yield text[start:end]
        start, wanted, searched = end, size, 0
    if start < len(text):
        yield text[start:]
