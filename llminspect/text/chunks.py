"""Counting the tokens of a text of any size: in blocks, on all cores, in memory that does not grow with the text."""

from __future__ import annotations

import os
from collections import deque
from typing import IO, TYPE_CHECKING, Any

from llminspect.text.cuts import last_cut_of_bytes
from llminspect.text.special import split_at_specials
from llminspect.text.tokenizer import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from llminspect.text.tokenizer import Parse, Tokenizer

BLOCK = 1 << 20
"""Bytes of a block."""
ALONE_BELOW = 4 * BLOCK
"""A shorter text is not worth starting processes for."""


def count_tokens(tokenizer: Tokenizer, text: str, parse: Parse = "text", goes_on: bool = False) -> int:
    """The number of tokens of a text, without prefix and suffix. `goes_on`: it goes on where another was cut."""
    count = 0
    specials, always = tokenizer.special_tokens, tokenizer.always_tokens
    for part, token_id in split_at_specials(canonical(text), specials, parse, always):
        if token_id is not None:
            count += 1
        else:
            # A tokenizer that puts a space in front of a text puts this one.
            own = part.removeprefix(" ") if goes_on and tokenizer.adds_space else part
            count += tokenizer.count_plain(own)
        goes_on = False
    return count


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
    """Count the tokens of a stream of UTF-8 text, as `count_tokens` counts those of the whole.

    `make` builds the tokenizer, here and in each process: it must pickle (`functools.partial` of a function of a
    module). `workers` is the number of processes, this one among them, as many as there are cores
    unless given. `progress` is told how many bytes are done. Memory is a few blocks a worker, except where a text goes
    on without any place to cut it: such a stretch is held as a whole. Raises UsageError as the tokenizer does.
    """
    tokenizer = make()
    cut = _blocks(stream, _safe_pattern(tokenizer, parse), block, drop_final_newline)
    first: list[tuple[bytes, bool]] = []
    ahead = 0
    for piece in cut:
        first.append(piece)
        ahead += len(piece[0])
        if ahead >= ALONE_BELOW:
            break
    workers = workers or os.cpu_count() or 1
    total = done = 0
    if workers == 1 or ahead < ALONE_BELOW:
        results: Iterable[tuple[int, int]] = _here(tokenizer, parse, _chain(first, cut))
    else:
        results = _in_processes(tokenizer, make, parse, _chain(first, cut), workers)
    for count, size in results:
        total += count
        done += size
        if progress is not None:
            progress(done)
    return total


def _chain(first: list[tuple[bytes, bool]], rest: Iterator[tuple[bytes, bool]]) -> Iterator[tuple[bytes, bool]]:
    while first:
        yield first.pop(0)
    yield from rest


def _safe_pattern(tokenizer: Tokenizer, parse: Parse) -> str | None:
    """Where this tokenizer's text may be cut; nowhere if a special token could be cut in two."""
    looked_for = [*tokenizer.always_tokens, *(tokenizer.special_tokens if parse != "text" else ())]
    pattern = tokenizer.cut_pattern
    if pattern is None or any(last_cut_of_bytes(token.encode(), pattern) for token in looked_for):
        return None
    return pattern


def _blocks(
    stream: IO[bytes], pattern: str | None, size: int, drop_final_newline: bool
) -> Iterator[tuple[bytes, bool]]:
    """The stream in blocks, and whether each is the first."""
    held, wanted, first = b"", size, True
    while True:
        read = stream.read(wanted)
        held += read
        if not read:
            break
        cut = None if pattern is None else last_cut_of_bytes(held, pattern)
        if cut is None:
            wanted = len(held)  # Twice as much, so that a text without a place to cut is not searched again and again.
            continue
        # What follows the cut may be no more than the final line break, which is dropped only with the end in sight.
        yield held[:cut], first
        held, wanted, first = held[cut:], size, False
    if drop_final_newline and held.endswith(b"\n"):
        held = held.removesuffix(b"\n").removesuffix(b"\r")
    if held:
        yield held, first


def _count(tokenizer: Tokenizer, parse: Parse, data: bytes, first: bool) -> tuple[int, int]:
    return count_tokens(tokenizer, data.decode("utf-8", "surrogateescape"), parse, goes_on=not first), len(data)


def _here(tokenizer: Tokenizer, parse: Parse, cut: Iterable[tuple[bytes, bool]]) -> Iterator[tuple[int, int]]:
    for data, first in cut:
        yield _count(tokenizer, parse, data, first)


_worker: dict[str, Any] = {}


def _start(make: Callable[[], Tokenizer], parse: Parse) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent hears it, and ends the processes.
    _worker["tokenizer"], _worker["parse"] = make(), parse


def _work(data: bytes, first: bool) -> tuple[int, int]:
    return _count(_worker["tokenizer"], _worker["parse"], data, first)


def _in_processes(
    tokenizer: Tokenizer,
    make: Callable[[], Tokenizer],
    parse: Parse,
    cut: Iterator[tuple[bytes, bool]],
    workers: int,
) -> Iterator[tuple[int, int]]:
    """Results as they come. At most two blocks a process are under way, so that a fast reader does not fill the memory.

    Processes, because tiktoken holds the interpreter's lock while it makes Python's lists; started afresh ("spawn"),
    because a process with threads (a progress bar's, a BLAS's) must not be forked. This process is one of the workers:
    it has its tokenizer already and counts while the others are still starting.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    others = workers - 1
    pool = ProcessPoolExecutor(others, mp_context=get_context("spawn"), initializer=_start, initargs=(make, parse))
    under_way: deque[Future[tuple[int, int]]] = deque()
    try:
        for data, first in cut:
            while under_way and under_way[0].done():
                yield under_way.popleft().result()
            if len(under_way) < 2 * others:
                under_way.append(pool.submit(_work, data, first))
            else:
                yield _count(tokenizer, parse, data, first)
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
