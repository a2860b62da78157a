"""Bytes of tokens as they come, out as whole characters, up to a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from llminspect.text.tokenizer import Tokenizer


class TextStream:
    """Takes the bytes of each token and gives the text that is certain by then.

    Half a character waits for its other half, and what may be the beginning of a stop string waits until it is clear
    that it is not. The stop string itself and what comes after it are never given.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = [stop.encode("utf-8", "surrogateescape") for stop in stops]
        self._waiting = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.stopped = False
        self.text = ""
        """All that was given so far."""

    def feed(self, data: bytes) -> str:
        """The text that became certain with `data`."""
        if self.stopped:
            return ""
        self._waiting += data
        places = [place for stop in self._stops if (place := self._waiting.find(stop)) >= 0]
        if places:
            self.stopped = True
            return self._give(self._waiting[: min(places)], final=True)
        keep = max((_overlap(self._waiting, stop) for stop in self._stops), default=0)
        certain, self._waiting = (
            self._waiting[: len(self._waiting) - keep],
            self._waiting[len(self._waiting) - keep :],
        )
        return self._give(certain, final=False)

    def finish(self) -> str:
        """What was still waiting when the tokens ended; half a character becomes U+FFFD."""
        return "" if self.stopped else self._give(self._waiting, final=True)

    def _give(self, data: bytes, *, final: bool) -> str:
        text = self._decoder.decode(data, final)
        self.text += text
        return text


def _overlap(text: bytes, stop: bytes) -> int:
    """How many bytes at the end of `text` are the beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


def next_piece(tokenizer: Tokenizer, previous: int | None, token_id: int) -> bytes:
    """What a token adds to a text that ends in the token `previous`: a tokenizer of words puts a space between."""
    if previous is None:
        return tokenizer.shown([token_id])
    return tokenizer.shown([previous, token_id])[len(tokenizer.shown([previous])) :]


def text_after(tokenizer: Tokenizer | None, previous: int, ids: Sequence[int]) -> str:
    """The text of ids after another; nothing where there is no tokenizer."""
    if tokenizer is None:
        return ""
    stream = TextStream()
    for token_id in ids:
        stream.feed(next_piece(tokenizer, previous, token_id))
        previous = token_id
    stream.finish()
    return stream.text
