"""Counting the tokens of a text of any size: in blocks, on all cores, in memory that does not grow with the text."""

from __future__ import annotations

import os
import re
from collections import deque
from typing import IO, TYPE_CHECKING, Any

from llminspect.text.cuts import last_cut_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from llminspect.text.tokenizer import Parse, Tokenizer

BLOCK = 1 << 20
"""Bytes of a block."""
ALONE_BELOW = 4 * BLOCK
"""A shorter text is not worth starting processes for."""


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
    module). `workers` is the number of processes, this one among them, as many as there are cores
    unless given. `progress` is told how many bytes are done. Memory is a few blocks a worker, except where a text goes
    on without any place to cut it: such a stretch is held as a whole. Raises UsageError as the tokenizer does.
    """
    tokenizer = make()
    cut = _blocks(stream, _safe_pattern(tokenizer, parse), block, drop_final_newline)
    first: list[tuple[bytes, int]] = []
    ahead = 0
    for piece in cut:
        first.append(piece)
        ahead += len(piece[0])
        if ahead >= ALONE_BELOW:
            break
    workers = workers or cores()
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


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chain(first: list[tuple[bytes, int]], rest: Iterator[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    while first:
        yield first.pop(0)
    yield from rest


def _safe_pattern(tokenizer: Tokenizer, parse: Parse) -> str | None:
    """Where this tokenizer's text may be cut; nowhere if a special token could be cut in two."""
    looked_for = [*tokenizer.always_tokens, *(tokenizer.special_tokens if parse != "text" else ())]
    pattern = tokenizer.cut_pattern
    if pattern is None or any(last_cut_of_bytes(token.encode(), pattern) for token in looked_for):
        return None
    if tokenizer.adds_space and looked_for:
        # Behind a special token a space is put as at the start of a text: what follows does not go on from a cut there.
        ends = re.escape("".join({token[-1:] for token in looked_for}))
        return f"(?:{pattern})(?<![{ends}])"
    return pattern


def _blocks(stream: IO[bytes], pattern: str | None, size: int, drop_final_newline: bool) -> Iterator[tuple[bytes, int]]:
    """The stream in blocks, and at which byte each begins."""
    held, wanted, at = b"", size, 0
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
        yield held[:cut], at
        held, wanted, at = held[cut:], size, at + cut
    if drop_final_newline and held.endswith(b"\n"):
        held = held.removesuffix(b"\n").removesuffix(b"\r")
    if held:
        yield held, at


def _count(tokenizer: Tokenizer, parse: Parse, data: bytes, at: int) -> tuple[int, int]:
    return tokenizer.count(data.decode("utf-8", "surrogateescape"), parse, at=at, goes_on=at > 0), len(data)


def _here(tokenizer: Tokenizer, parse: Parse, cut: Iterable[tuple[bytes, int]]) -> Iterator[tuple[int, int]]:
    for data, at in cut:
        yield _count(tokenizer, parse, data, at)


_worker: dict[str, Any] = {}


def _start(make: Callable[[], Tokenizer], parse: Parse) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent hears it, and ends the processes.
    _worker["tokenizer"], _worker["parse"] = make(), parse


def _work(data: bytes, at: int) -> tuple[int, int]:
    return _count(_worker["tokenizer"], _worker["parse"], data, at)


def _in_processes(
    tokenizer: Tokenizer,
    make: Callable[[], Tokenizer],
    parse: Parse,
    cut: Iterator[tuple[bytes, int]],
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
        for data, at in cut:
            while under_way and under_way[0].done():
                yield under_way.popleft().result()
            if len(under_way) < 2 * others:
                under_way.append(pool.submit(_work, data, at))
            else:
                yield _count(tokenizer, parse, data, at)
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
