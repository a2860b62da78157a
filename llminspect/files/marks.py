"""Texts as UTF-8 without their byte order mark, which Windows programs write in front and which is no part of a text.

A mark also says that what follows is UTF-16 or UTF-32: PowerShell's `>` writes the first. Sources: the Unicode
Standard, section 23.8; Python's `codecs`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # Begins as the mark of UTF-16 does.
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class Unmarked:
    """Takes a text in pieces of bytes and gives it as UTF-8 without its mark.

    Without a mark the bytes are given as they came, UTF-8 or not. With one of UTF-16 or UTF-32, U+FFFD stands for what
    is no character.

    >>> unmarked = Unmarked()
    >>> unmarked.feed(b"\\xef\\xbb") + unmarked.feed(b"\\xbfA cat")
    b'A cat'
    """

    _begun: bytes | None = b""
    _decoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes, final: bool = False) -> bytes:
        """The text that is certain with `data`; half a mark, or half a character of UTF-16, waits."""
        if self._begun is not None:
            data = self._begun + data
            if not final and any(len(data) < len(mark) and mark.startswith(data) for mark in MARKS):
                self._begun = data
                return b""
            self._begun = None
            mark = next((mark for mark in MARKS if data.startswith(mark)), b"")
            data = data[len(mark) :]
            if mark and mark != codecs.BOM_UTF8:
                self._decoder = codecs.getincrementaldecoder(MARKS[mark])("replace")
        return data if self._decoder is None else self._decoder.decode(data, final).encode()


class UnmarkedStream:
    """A stream of bytes without its mark, to be read from front to back."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._text = stream, Unmarked()

    def read(self, size: int = -1) -> bytes:
        """About `size` bytes; none only at the end."""
        while True:
            data = self._stream.read(size)
            text = self._text.feed(data, final=not data)
            if text or not data:
                return text


def unmarked(data: bytes) -> bytes:
    """All of a text at once."""
    return Unmarked().feed(data, final=True)


def unmarked_lines(stream: Iterable[Any]) -> Iterator[str]:
    """The lines of a stream of bytes without their ends (LF or CRLF); bytes that are not UTF-8 as lone surrogates."""
    text, begun = Unmarked(), b""
    for piece in chain(stream, [b""]):
        *lines, begun = (begun + text.feed(piece, final=not piece)).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
    if begun:
        yield begun.decode("utf-8", "surrogateescape")
