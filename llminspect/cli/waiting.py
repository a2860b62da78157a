"""A sign of life on standard error, where that is a terminal, after a second without output; gone when output comes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

SILENCE = 1.0
"""Seconds without output before it is shown."""
_TICK = 0.25
_ERASED = "\r\x1b[K"


class Waiting:
    """What is being done and for how long, on one line that is erased before anything else is written."""

    def __init__(self, what: str, terminal: TextIO) -> None:
        self.what, self.terminal = what, terminal
        self.lock = threading.Lock()
        self.begun = self.quiet_since = time.monotonic()
        self.shown, self.held, self.ended = False, 0, threading.Event()

    def tick(self, now: float) -> None:
        """Show the line where nothing was written for a second."""
        with self.lock:
            if not self.held and not self.ended.is_set() and now - self.quiet_since >= SILENCE:
                self.terminal.write(f"{_ERASED}llminspect: {self.what} … {now - self.begun:.0f} s")
                self.terminal.flush()
                self.shown = True

    def touch(self, held: int = 0) -> None:
        """Something is about to be written; `held` 1: and goes on being written, until it is -1."""
        with self.lock:
            self.held += held
            self.quiet_since = time.monotonic()
            if self.shown:
                self.terminal.write(_ERASED)
                self.terminal.flush()
                self.shown = False

    def watch(self) -> None:
        """Tick until the end."""
        while not self.ended.wait(_TICK):
            self.tick(time.monotonic())


_CURRENT: list[Waiting] = []


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


def touch() -> None:
    """Before anything is written to a terminal."""
    for made in _CURRENT:
        made.touch()


def hold() -> None:
    """From now on something else is drawn, or a person is waited for."""
    for made in _CURRENT:
        made.touch(1)


def release() -> None:
    """That is over."""
    for made in _CURRENT:
        made.touch(-1)
