"""A sign of life on standard error, where that is a terminal, after a second without output; gone when output comes."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TextIO

SILENCE = 1.0
"""Seconds without output before it is shown."""
_TICK = 0.25
_ERASED = "\r\x1b[K"
_AFTER_TEXT, _BACK = "\x1b7\x1b[K", "\x1b8"
"""Where a line of the result is not ended yet: written after it, and back to its end."""
_ONE_LINE, _LINES = "\x1b[?7l", "\x1b[?7h"
"""What is longer than the terminal is wide is cut, and folded again."""


class Waiting:
    """What is being done and for how long, on one line that is erased before anything else is written."""

    def __init__(self, what: str, terminal: TextIO) -> None:
        self.what, self.terminal = what, terminal
        self.lock = threading.Lock()
        self.begun = self.quiet_since = time.monotonic()
        self.shown, self.held, self.ended = False, 0, threading.Event()
        self.room: int | None = None
        """Cells that are left after what was written last, if that has not ended its line."""

    def tick(self, now: float) -> None:
        """Show the line where nothing was written for a second; after a line that is not ended the seconds alone."""
        with self.lock:
            if not self.held and not self.ended.is_set() and now - self.quiet_since >= SILENCE:
                seconds = f"… {now - self.begun:.0f} s"
                if self.room is None:
                    self.terminal.write(f"{_ERASED}{_ONE_LINE}llminspect: {self.what} {seconds}{_LINES}")
                elif self.room > len(seconds) + 1:
                    self.terminal.write(f"{_AFTER_TEXT} {seconds}{_BACK}")
                self.terminal.flush()
                self.shown = True

    def touch(self, held: int = 0, room: int | None = None) -> None:
        """Something is about to be written; `held` 1: and goes on being written, until it is -1. `room`: it does not
        end its line, and leaves so many cells of it."""
        with self.lock:
            self.held += held
            self.quiet_since = time.monotonic()
            if self.shown:
                self.terminal.write(_ERASED if self.room is None else "\x1b[K" * (self.room > 0))
                self.terminal.flush()
                self.shown = False
            self.room = room

    def watch(self) -> None:
        """Tick until the end."""
        while not self.ended.wait(_TICK):
            self.tick(time.monotonic())


class Cursor:
    """Where a text that is written in pieces has come to on a terminal.

    >>> cursor = Cursor()
    >>> [cursor.room_after(text, 10) for text in ("four", "ty\\n", "", "twelve cells")]
    [6, None, None, 8]
    """

    def __init__(self) -> None:
        self._column, self._tabs = 0, False

    def room_after(self, text: str, width: int) -> int | None:
        """Cells that its line has left, 0 where tabs make that uncertain; None at the start of a line."""
        from rich.cells import cell_len

        *ended, line = text.split("\n")
        self._column, self._tabs = (0, False) if ended else (self._column, self._tabs)
        for cells in map(cell_len, line):  # What finds no room goes to the next line.
            self._column = cells if self._column + cells > width else self._column + cells
        self._tabs |= "\t" in line
        return None if not self._column else 0 if self._tabs else width - self._column


_CURRENT: list[Waiting] = []
BARS: list[Callable[[], None]] = []
"""What takes away each progress bar that is drawn: nothing is written while one is there."""


@contextmanager
def waiting(what: str, wanted: bool) -> Iterator[None]:
    """Around a command: `wanted` and a terminal, or nothing is shown."""
    if not wanted or not sys.stderr.isatty():
        yield
        return
    made = Waiting(what, sys.stderr)
    _CURRENT.append(made)
    threading.Thread(target=made.watch, daemon=True).start()
    try:
        yield
    finally:
        made.ended.set()
        made.touch()
        _CURRENT.remove(made)


def touch(stream: TextIO | None = None, room: int | None = None) -> None:
    """Before anything is written to a stream (standard output); `room`: it does not end its line, and leaves so many
    cells of it. A bar stays where that goes elsewhere."""
    _take_away(0, room, bars=(stream or sys.stdout).isatty())


@contextmanager
def writing() -> Iterator[None]:
    """Around what is written to standard output: a slow terminal may take seconds for it."""
    _take_away(1, bars=sys.stdout.isatty())
    try:
        yield
    finally:
        _take_away(-1, bars=False)


def hold() -> None:
    """From now on something else is drawn, or a person is waited for."""
    _take_away(1)


def release() -> None:
    """That is over."""
    _take_away(-1)


def _take_away(held: int, room: int | None = None, *, bars: bool = True) -> None:
    for remove in [*BARS] if bars else []:
        remove()
    for made in _CURRENT:
        made.touch(held, room)


def standard_input() -> IO[bytes]:
    """Standard input as bytes; where a person types it on a terminal nothing is written between the letters."""
    return io.BufferedReader(_Typed()) if sys.stdin.isatty() else sys.stdin.buffer


class _Typed(io.RawIOBase):
    """A terminal, read line by line."""

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return sys.stdin.fileno()

    def readinto(self, buffer: Any) -> int:
        terminal: Any = sys.stdin.buffer
        hold()
        try:
            count: int = terminal.raw.readinto(buffer)
        finally:
            release()
        return count
