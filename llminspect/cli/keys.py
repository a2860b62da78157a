"""What a person types at a terminal, key by key."""

from __future__ import annotations

import codecs
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTER, BACK, CLEAR, LEAVE, END = "enter", "back", "clear", "leave", "end"
_NAMED = {
    **dict.fromkeys("\r\n", ENTER),
    **dict.fromkeys("\x08\x7f", BACK),
    "\x15": CLEAR,
    "\x03": LEAVE,
    "\x04": END,
    "\x1b": END,
}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|[^\[O])")
"""Arrows, function keys and the like: nothing is typed with them. Escape alone is a key."""


def keys_of(typed: str) -> list[str]:
    """What was typed as characters and named keys: `ENTER`, `BACK`, `CLEAR` (Ctrl-U), `LEAVE` (Ctrl-C), `END` (Escape,
    Ctrl-D). Other control characters and the sequences of arrows and function keys are left out.

    >>> keys_of("hé\\x7f\\x1b[A\\r")
    ['h', 'é', 'back', 'enter']
    """
    return [
        _NAMED.get(char, char) for char in _SEQUENCE.sub("", typed) if char in _NAMED or char == "\t" or char >= " "
    ]


@contextmanager
def raw_keys() -> Iterator[Callable[[], list[str]]]:
    """The terminal without echo and line editing; the call waits for keys and gives those that were typed."""
    try:
        import termios
        import tty
    except ImportError:  # Windows: a key at a time, whole characters.
        import msvcrt

        yield lambda: keys_of(msvcrt.getwch())  # type: ignore[attr-defined]
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read() -> list[str]:
        data = os.read(file, 4096)
        return keys_of(decoder.decode(data)) if data else [END]

    tty.setcbreak(file, termios.TCSADRAIN)
    settings = termios.tcgetattr(file)
    settings[3] &= ~termios.ISIG  # Ctrl-C is a key: the terminal is put back before anything ends.
    termios.tcsetattr(file, termios.TCSADRAIN, settings)
    try:
        yield read
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
