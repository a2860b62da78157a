"""`tokenize --watch`: the tokens of a text while it is typed, key by key."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment

from llminspect.arguments.shared import OutputOptions
from llminspect.cli.output import live
from llminspect.commands.tokenize.view import render
from llminspect.errors import UsageError, UserError
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.section import Drawn

KEYS = "Enter keeps this picture · Escape leaves without it · Ctrl-U clears the line"


def watch(text: str, tokens_of: Callable[[str], Any], output: OutputOptions) -> str | None:
    """The text when Enter is typed, None after Escape; at each key what `tokens_of` makes of the text is drawn.

    Raises KeyboardInterrupt at Ctrl-C, UsageError where no person is at the terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--watch reads keys from a terminal and draws on it", "leave it out in a pipe")
    with raw_keys() as read, live(output) as picture:
        while True:
            picture.update(fitting(typing_view(text, tokens_of)), refresh=True)
            typed, stop = after_keys(text, read())
            if stop == LEAVE:
                raise KeyboardInterrupt
            if stop is not None:
                return typed if stop == ENTER else None
            text = typed


def after_keys(text: str, keys: Iterable[str]) -> tuple[str, str | None]:
    """The text after some keys, and the key that ends it, if one does: what comes after that is not typed."""
    for key in keys:
        if key in (ENTER, END, LEAVE):
            return text, key
        text = "" if key == CLEAR else text[:-1] if key == BACK else text + key
    return text, None


def typing_view(text: str, tokens_of: Callable[[str], Any]) -> RenderableType:
    """The line that is typed, with its cursor, and below it its tokens, or why it has none."""
    line = Text.assemble(("> ", theme.QUIET), visible(text), ("▌", theme.BAR_CHOSEN))
    try:
        below = render(tokens_of(text)) if text else Text("type a text", theme.QUIET)
    except UserError as error:
        below = Text(visible(error.message), theme.WARNING)
    return Group(line, Text(KEYS, theme.QUIET), Text(), below)


def fitting(view: RenderableType) -> Drawn:
    """What of a picture fits on the terminal, the top of it."""

    def draw(console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        lines = console.render_lines(view, options.update(height=None), pad=False)
        room = console.height - 1
        for at, line in enumerate(lines[:room] if len(lines) <= room else lines[: room - 1]):
            yield from [Segment.line()] * (at > 0)
            yield from line
        if len(lines) > room:
            yield Segment.line()
            yield Segment(f"… {len(lines) - room + 1} lines more", theme.QUIET)

    return Drawn(draw)


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
