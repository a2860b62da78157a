"""How many tokens a text of any size has, in memory that does not grow with it: `tokenize --count`."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any

from llminspect.analysis.tokenize import CountResult, counted
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.tokenize import CountOptions
from llminspect.files.marks import UnmarkedStream
from llminspect.text.chunks import count_stream
from llminspect.text.lost_bytes import ByteTally
from llminspect.text.tokenizer import Tokenizer

HEAD = 1 << 10
"""Bytes of a stream in which a BOS that its text holds already is looked for."""


class MeasuredStream(io.RawIOBase):
    """A stream that knows how many bytes and characters were read from it, less one newline at the end, and which of
    its bytes do not reach a model (`missing`: no token holds them).

    `errors` "strict" raises UnicodeDecodeError where it is not UTF-8.
    """

    def __init__(
        self, stream: IO[bytes], drop_final_newline: bool, errors: str = "surrogateescape", missing: bytes = b""
    ) -> None:
        self._stream, self._drops = UnmarkedStream(stream), drop_final_newline
        self.tally = ByteTally(missing)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)
        self._tail = self.head = b""
        self.bytes = self.characters = 0

    def read(self, size: int = -1) -> bytes:
        """About `size` bytes; none only at the end."""
        data = self._stream.read(size)
        self.bytes += len(data)
        self.head += data[: HEAD - len(self.head)]
        text = self._decoder.decode(data, final=not data)
        self.characters += len(text)
        self.tally.add(text)
        self._tail = (self._tail + data[-2:])[-2:]
        if not data and self._drops and self._tail.endswith(b"\n"):
            dropped = 2 if self._tail == b"\r\n" else 1
            self.bytes -= dropped
            self.characters -= dropped
            self._drops = False
        return data

    def remarks(self, tokenizer: Tokenizer) -> list[str]:
        """What is to be noted of the text: that it is none, or of bytes that do not reach the model."""
        if b"\0" in self.head:
            return ["this is no text but binary (there is a NUL in it); its bytes are counted as they are"]
        return self.tally.remarks(tokenizer)


@dataclass
class TokenizerOpener:
    """The tokenizer that is open here; another process, to which it does not go, opens one with `reopen`."""

    tokenizer: Tokenizer | None
    reopen: Callable[[], tuple[Tokenizer, Any]]

    def __call__(self) -> Tokenizer:
        if self.tokenizer is None:
            self.tokenizer, _ = self.reopen()
        return self.tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {"tokenizer": None, "reopen": self.reopen}


def count(
    tokenizer: Tokenizer,
    stream: IO[bytes],
    source: SourceOptions,
    options: CountOptions,
    *,
    reopen: Callable[[], tuple[Tokenizer, Any]] | None = None,
    drop_final_newline: bool = False,
    progress: Callable[[int], object] | None = None,
) -> CountResult:
    """The tokens of a stream of UTF-8 text, with those that the model expects around a text.

    A long text is counted in several processes where `reopen` can open the tokenizer in them (it must pickle).
    `progress` is called with the bytes that are done. Raises UsageError as the tokenizer does.
    """
    measured = MeasuredStream(stream, drop_final_newline, missing=tokenizer.missing_bytes)
    total = count_stream(
        (lambda: tokenizer) if reopen is None else TokenizerOpener(tokenizer, reopen),
        measured,  # type: ignore[arg-type]
        workers=1 if reopen is None else options.workers,
        parse=source.parse,
        drop_final_newline=drop_final_newline,
        progress=progress,
    )
    found = counted(tokenizer, options, total + added(tokenizer, source, measured), measured.characters, measured.bytes)
    return replace(found, notes=measured.remarks(tokenizer) or None)


def added(tokenizer: Tokenizer, source: SourceOptions, measured: MeasuredStream) -> int:
    """How many tokens the model expects around the text that was read."""
    if source.special is False or not (tokenizer.prefix_ids or tokenizer.suffix_ids):
        return 0
    # A BOS that the text holds already is not put in front a second time.
    tokens = tokenizer.encode(measured.head.decode("utf-8", "ignore"), source.parse)
    return len(tokenizer.wrap(tokens)) - len(tokens)
