"""A terminal that obeys nothing but what it was told to expect, and a way to run the program in one."""

from __future__ import annotations

import codecs
import os
import re
import sys
import time
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyte

from tests.started import started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).parent.parent.parent

COLOURS = frozenset({"draw", "linefeed", "select_graphic_rendition"})
"""What a rendering, an error or a remark may ask of a terminal."""
PROGRESS = COLOURS | {"carriage_return", "erase_in_line", "cursor_up", "reset_mode", "set_mode", "show_cursor"}
"""What something that is redrawn in its place asks as well: hide and show the cursor, go up, erase a line."""


class DisobeyedError(AssertionError):
    """The terminal was asked for something that was not meant."""


class Terminal:
    """What a terminal is asked for, by an emulator's parser; raises DisobeyedError for all that is not in `allowed`."""

    def __init__(self, allowed: Iterable[str] = COLOURS) -> None:
        self.allowed, self.drawn = frozenset(allowed), ""
        self._stream = pyte.Stream(_Listener(self._obey))  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Raises DisobeyedError also for bytes that are not text, and for what the emulator's parser passes over."""
        text = data.decode("utf-8")
        rest = re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]", "", text)
        odd = [char for char in rest if char not in "\n\r\t" and unicodedata.category(char) in REFUSED]
        if odd:
            raise DisobeyedError(f"the terminal got {odd[:5]!r} in {rest[:400]!r}")
        self._stream.feed(text)

    def _obey(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in self.allowed:
            raise DisobeyedError(f"the terminal was asked to {event} {arguments!r} after {self.drawn[-80:]!r}")
        if event == "draw":
            self.drawn += arguments[0]
        elif event == "linefeed":
            self.drawn += "\n"


REFUSED = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
"""Categories of characters that a terminal obeys, hides or lets reorder others."""


class _Listener:
    """Has every method that the emulator's parser calls, and tells which it was."""

    def __init__(self, obey: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._tell = obey

    def __getattr__(self, event: str) -> Any:
        return lambda *arguments, **_: self._tell(event, arguments)


def shown(data: bytes, allowed: Iterable[str] = COLOURS) -> str:
    """What the terminal shows of `data`. Raises DisobeyedError."""
    terminal = Terminal(allowed)
    terminal.write(data)
    return terminal.drawn


class Session:
    """The program in a pseudo-terminal of 100 columns, as a person would run it."""

    def __init__(self, arguments: list[str], environment: dict[str, str], program: list[str] | None = None) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.began = time.monotonic()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.mode = termios.tcgetattr(theirs)
        clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        self.process = started(
            [sys.executable, *(program or ["-m", "llminspect"]), *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env={**clean, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        self._theirs, self._decode, self.raw = theirs, codecs.getincrementaldecoder("utf-8")(), b""

    def read(self, seconds: float = 0.05) -> bool:
        """Take in what was written meanwhile; whether there may be more."""
        import select

        if not select.select([self._ours], [], [], seconds)[0]:
            return self.process.poll() is None
        self.raw += os.read(self._ours, 65536)
        return True

    def read_until(self, words: bytes, seconds: float = 60) -> None:
        """Until the program has written `words`."""
        end = time.monotonic() + seconds
        while words not in self.raw:
            assert self.read(), f"it ended before it wrote {words!r}: {self.raw!r}"
            assert time.monotonic() < end, f"no {words!r} within {seconds} s: {self.raw!r}"

    def finish(self, seconds: float = 60) -> int:
        """The exit code, when all was read. Leaves the terminal's settings in `mode_after`."""
        import termios

        end = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < end, f"not finished after {seconds} s: {self.raw[-400:]!r}"
        self.mode_after = termios.tcgetattr(self._theirs)
        os.close(self._ours)
        os.close(self._theirs)
        return self.process.wait()
