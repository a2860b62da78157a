"""Where a long text may be cut so that its tokens are those of the parts; and counting them, whatever the size.

A tokenizer names, as `cut_pattern`, a regular expression that matches the character before such a place. Counting goes
in blocks, on all cores, in memory that does not grow with the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import chain, islice
from typing import IO, Generic, TypeVar

from llminspect.text.special_tokens import Parse
from llminspect.text.tokenizer import Tokenizer

T = TypeVar("T")

BLOCK = 1 << 20
"""Bytes of a block."""
ALONE_BELOW = 4 * BLOCK
"""A shorter text is not worth starting processes for."""

SPACES = r"[^\s▁](?= )"
"""In front of a space that follows something else (▁ is a space to SentencePiece). No pattern of a pre-tokenizer goes
on from something else over a space, and none looks back: what follows is cut as if the text began there."""

WORDS = SPACES + r"|[^\W_](?=[\r\n,、。，])"
"""Also between a letter or digit and a line break, a comma, or a Chinese comma or full stop, for tokenizers whose words
hold none of these: tables of numbers, JSON without spaces and Chinese texts have few spaces or none."""


def last_cut(text: str, pattern: str) -> int | None:
    """The last place where `text` may be cut, more than 0 and less than its length; None: there is none."""
    window = 256
    while True:
        start = max(0, len(text) - window)
        found = None
        for found in re.compile(pattern).finditer(text, start):  # noqa: B007 (the last one is wanted)
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


def count_stream(
    make: Callable[[], Tokenizer],
    stream: IO[bytes],
    *,
    workers: int | None = None,
    parse: Parse = "text",
    drop_final_newline: bool = False,
    progress: Callable[[int], object] | None = None,
    block: int = BLOCK,
) -> int:
    """Count the tokens of a stream of UTF-8 text, as `Tokenizer.count` counts those of the whole.

    `make` builds the tokenizer, here and in each process: it must pickle (`functools.partial` of a function of a
    module). `workers` is the number of processes that count, as many as there are cores unless given; where it is more
    than one, they are started beside this one, which reads. `progress` is told how many bytes are done. Memory is a few
    blocks a worker, except where a text goes on without any place to cut it: such a stretch is held as a whole. Raises
    UsageError as the tokenizer does.
    """
    tokenizer, read = make(), stream.read(block)
    more = stream.read(block) if read else b""
    if more:
        cut = text_blocks(stream, safe_pattern(tokenizer, parse), block, drop_final_newline, begun=read + more)
    else:  # All of it: there is nothing to cut.
        cut = last_block(read, 0, drop_final_newline)
    first = list(islice(cut, ALONE_BELOW // block + 1))
    alone = tokenizer.learns or workers == 1 or sum(len(data) for data, _ in first) < ALONE_BELOW
    total = done = 0
    results: Generator[tuple[int, int]] = (_count(tokenizer, parse, piece) for piece in chain(first, cut))
    if not alone:
        from llminspect.processes import cores, in_order

        # Processes, because tiktoken holds the interpreter's lock while it makes Python's lists.
        if (workers := workers or cores()) > 1:
            results = in_order(Pulled(chain(first, cut)), None, partial(_counter, make, parse), workers)
    with closing(results):
        for count, size in results:
            total += count
            done += size
            if progress is not None:
                progress(done)
    return total


def safe_pattern(tokenizer: Tokenizer, parse: Parse) -> str | None:
    """Where this tokenizer's text may be cut; nowhere if a special token could be cut in two."""
    looked_for = [*tokenizer.always_tokens, *(tokenizer.special_tokens if parse != "text" else ())]
    pattern = tokenizer.cut_pattern
    if pattern is None or any(last_cut_of_bytes(token.encode(), pattern) for token in looked_for):
        return None
    if tokenizer.adds_space and looked_for:
        # After a special token a space is added, as at the start of a text; so the text may not be cut right after one.
        ends = re.escape("".join({token[-1:] for token in looked_for}))
        return f"(?:{pattern})(?<![{ends}])"
    return pattern


def text_blocks(
    stream: IO[bytes], pattern: str | None, size: int, drop_final_newline: bool, begun: bytes = b""
) -> Iterator[tuple[bytes, int]]:
    """The stream in blocks, and at which byte each begins. `begun` was read already."""
    held, wanted, at = b"", size, 0
    while read := begun or stream.read(wanted):
        held, begun = held + read, b""
        cut = None if pattern is None else last_cut_of_bytes(held, pattern)
        if cut is None:
            wanted = len(held)  # Twice as much, so that a text without a place to cut is not searched again and again.
            continue
        # What follows the cut may be no more than the final line break, which is dropped only with the end in sight.
        yield held[:cut], at
        held, wanted, at = held[cut:], size, at + cut
    yield from last_block(held, at, drop_final_newline)


def last_block(held: bytes, at: int, drop_final_newline: bool) -> Iterator[tuple[bytes, int]]:
    """What is left at the end of a stream, if anything is."""
    if drop_final_newline and held.endswith(b"\n"):
        held = held.removesuffix(b"\n").removesuffix(b"\r")
    if held:
        yield held, at


def _count(tokenizer: Tokenizer, parse: Parse, block: tuple[bytes, int]) -> tuple[int, int]:
    data, at = block
    return tokenizer.count(data.decode("utf-8", "surrogateescape"), parse, at=at, goes_on=at > 0), len(data)


def _counter(make: Callable[[], Tokenizer], parse: Parse) -> Callable[[tuple[bytes, int]], tuple[int, int]]:
    return partial(_count, make(), parse)


class Pulled(Generic[T]):
    """What is cut, as tasks for processes."""

    def __init__(self, cut: Iterator[T]) -> None:
        self._cut = cut
        self.ended = False

    def at_hand(self) -> bool:
        return True

    def source(self) -> None:
        return None

    def take(self) -> T | None:
        block = next(self._cut, None)
        self.ended = block is None
        return block
