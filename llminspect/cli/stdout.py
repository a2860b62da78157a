"""Bytes to standard output in whole lines, also where Ctrl-C comes meanwhile.

Whoever reads NDJSON gets no part of a line, unless it stops reading or the program is killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

PATIENCE = 1.0
"""Seconds that a reader has to take the rest of a line after Ctrl-C."""
_UNFINISHED = False


def is_unfinished() -> bool:
    """Whether a line was begun that has no end: nothing may be written after it."""
    return _UNFINISHED


@dataclass
class Interrupt:
    """Whether Ctrl-C was pressed."""

    pressed: bool = False


def write_bytes(data: bytes, seconds: float | None = None) -> None:
    """Written at once. Ctrl-C ends the program after the line that is being written; a second Ctrl-C at once.

    TimeoutError: the reader did not take it in `seconds`.
    """
    global _UNFINISHED
    sys.stdout.flush()
    descriptor = None if sys.platform == "win32" else _descriptor()
    if descriptor is None:  # In memory, or where nobody can ask whether a write would wait.
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with _interrupts_held() as interrupt:
        _UNFINISHED = True
        _write(descriptor, data, interrupt, None if seconds is None else time.monotonic() + seconds)
        _UNFINISHED = False


def _write(descriptor: int, data: bytes, interrupt: Interrupt, until: float | None) -> None:
    import select

    rest, at, end, ending = memoryview(data), 0, len(data), False
    while at < end:
        if interrupt.pressed and not ending:
            ending, until = True, time.monotonic() + PATIENCE
            end = (data.find(b"\n", at - 1) + 1 or end) if at else 0
            continue
        if until is not None and time.monotonic() > until:
            raise TimeoutError("standard output is not read")
        # So few bytes never wait where the descriptor is ready: Ctrl-C could not end that.
        if select.select([], [descriptor], [], 0.1)[1]:
            at += os.write(descriptor, rest[at : min(end, at + select.PIPE_BUF)])


@contextmanager
def _interrupts_held() -> Iterator[Interrupt]:
    """The first Ctrl-C waits for the end of the block."""
    interrupt = Interrupt()

    def note_interrupt(number: int, frame: FrameType | None) -> None:
        if interrupt.pressed:
            raise KeyboardInterrupt
        interrupt.pressed = True

    if (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        or threading.current_thread() is not threading.main_thread()
    ):  # Ctrl-C does not come here.
        yield interrupt
        return
    signal.signal(signal.SIGINT, note_interrupt)
    try:
        yield interrupt
    except TimeoutError:
        if not interrupt.pressed:
            raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupt.pressed:
        raise KeyboardInterrupt


def _descriptor() -> int | None:
    try:
        return sys.stdout.fileno()
    except (OSError, ValueError):
        return None
