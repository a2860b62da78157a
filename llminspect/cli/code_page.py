"""What is written where standard output or error is not UTF-8, as on Windows where it goes to a file or a pipe.

A character of a picture becomes the nearest that the code page has, of the same width, so that columns stay columns;
any other becomes ?. JSON writes it as an escape, and nothing is lost.
"""

from __future__ import annotations

import codecs
import re
import sys
from functools import partial
from typing import Any

from llminspect.core.nearest import NEAREST


def nearest(character: str, encoding: str) -> str:
    """What stands for a character that `encoding` does not have, as many cells wide."""
    for candidate in NEAREST.get(character, ""):
        if candidate.encode(encoding, "ignore"):
            return candidate
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    return "??" if unicodedata.east_asian_width(character) in "WF" else "?"


def _nearest_of(encoding: str, error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    wrong = error.object[error.start : error.end]  # The error itself names only the family ("charmap").
    return "".join(nearest(character, encoding) for character in wrong), error.end


def is_utf8(encoding: str | None) -> bool:
    """Whether a stream takes every character; one in memory, which has no encoding, does."""
    return encoding is None or encoding.lower() in ("utf-8", "utf8") or codecs.lookup(encoding).name == "utf-8"


def fit_streams() -> None:
    """Let standard output and error that are not UTF-8 take every text from now on."""
    for stream in (sys.stdout, sys.stderr):
        if not is_utf8(getattr(stream, "encoding", None)) and hasattr(stream, "reconfigure"):
            name = f"llminspect.{stream.encoding}"
            codecs.register_error(name, partial(_nearest_of, stream.encoding))
            stream.reconfigure(errors=name)


def escaped(data: bytes, encoding: str | None = None) -> bytes:
    r"""JSON in which all that a terminal would obey, hide or turn around is escaped (\u202e); with `encoding` all that
    is not ASCII, and the document in that encoding."""

    def escape(match: re.Match[str]) -> str:
        units = "" if encoding is None and match[0].isprintable() else match[0].encode("utf-16-be").hex()
        return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) or match[0]

    text = re.sub(r"[^\n -~]", escape, data.decode())
    return text.encode() if encoding is None else text.encode(_without_mark(encoding))


def _without_mark(encoding: str) -> str:
    """The encoding that writes no byte order mark of its own in front of each document."""
    name = codecs.lookup(encoding).name
    return f"{name}-{sys.byteorder[0]}e" if name in ("utf-16", "utf-32") else name.removesuffix("-sig")


def is_plain(stream: Any) -> bool:
    """Whether `stream` takes JSON as it is."""
    return is_utf8(getattr(stream, "encoding", None)) and not stream.isatty()


def fitting(data: bytes, stream: Any) -> bytes:
    """A JSON document as `stream` takes it."""
    encoding = getattr(stream, "encoding", None)
    if not is_utf8(encoding):
        return escaped(data, encoding)
    return escaped(data) if stream.isatty() else data
