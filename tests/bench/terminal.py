"""A program on a terminal of its own: when it starts, what it writes after a key, and the memory that it took."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS, ROWS = 100, 30
QUIET = 1.0
"""Seconds without an answer after which no more of it is waited for; a cursor that blinks is none."""
PATIENCE = 120


class Terminal:
    """The program `words` in a folder; `answer` is what only its answers have in them."""

    def __init__(self, words: Sequence[str], answer: bytes, folder: Path | None = None) -> None:
        self.answer, self.begun = answer, time.perf_counter()
        self.process, self.screen = pty.fork()
        if not self.process:
            os.chdir(folder or ".")
            os.execve(words[0], list(words), environment(TERM="xterm-256color", COLORTERM="truecolor"))
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def answered(self) -> float:
        """When the last of an answer was written. Raises TimeoutError where none is."""
        first, last = time.perf_counter(), None
        while time.perf_counter() < (last or first) + (QUIET if last else PATIENCE):
            if select.select([self.screen], [], [], 0.05)[0] and self.answer in os.read(self.screen, 1 << 20):
                last = time.perf_counter()
        if last is None:
            raise TimeoutError("no answer on the screen")
        return last

    def started(self) -> float:
        """Seconds from its start to the first answer."""
        return self.answered() - self.begun

    def press(self, key: bytes) -> float:
        """Seconds from a key to the last of its answer."""
        begun = time.perf_counter()
        os.write(self.screen, key)
        return self.answered() - begun

    def processor(self) -> float:
        """Seconds that processors have worked for it: others' work does not count."""
        fields = Path(f"/proc/{self.process}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, key: bytes) -> None:
        """A key that has no answer."""
        os.write(self.screen, key)
        while select.select([self.screen], [], [], 0.4)[0]:
            os.read(self.screen, 1 << 20)

    def leave(self, key: bytes) -> int:
        """Leave it; the most memory that it took, in bytes."""
        os.write(self.screen, key)
        _, _, used = os.wait4(self.process, 0)
        os.close(self.screen)
        return used.ru_maxrss * 1024
