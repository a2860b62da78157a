"""What is written to standard output, and nowhere else: JSON documents, renderings, streams, errors.

Bytes go there in whole lines, also where Ctrl-C comes meanwhile: whoever reads NDJSON gets no part of a line, unless it
stops reading or the program is killed.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from llminspect.cli.code_page import fitting
from llminspect.cli.json_text import json_bytes
from llminspect.cli.waiting import Cursor, hold, release, touch, writing
from llminspect.version import __version__

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console, RenderableType
    from rich.live import Live

    from llminspect.arguments.shared import OutputOptions

SCHEMA = 1
PATIENCE = 1.0
"""Seconds that a reader has to take the rest of a line after Ctrl-C."""
_UNFINISHED = _SILENT = False
"""Whether a line was begun that has no end, so that nothing may be written after it; whether another process writes."""


def be_silent() -> None:
    """Write nothing from now on but errors: another process of this run writes the same."""
    global _SILENT
    _SILENT = True
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_silent() -> bool:
    """Whether another process writes the result."""
    return _SILENT


def write_text(text: str) -> None:
    """Plain text as it is, at once."""
    with writing():
        sys.stdout.write(text)
        sys.stdout.flush()


def write_json(document: dict[str, Any], digits: int | None = None) -> None:
    """One JSON document on a line of its own."""
    write_bytes(json_line(document, digits))


def json_line(document: dict[str, Any], digits: int | None = None) -> bytes:
    """What `write_json` writes."""
    return fitting(json_bytes(document, digits), sys.stdout)


def write_indented(document: dict[str, Any]) -> None:
    """One JSON document over many lines, for a person to read as well."""
    import orjson

    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    write_bytes(fitting(data, sys.stdout))


def console(options: OutputOptions) -> Console:
    """A terminal, or plain text where the output is piped; NO_COLOR, FORCE_COLOR and COLUMNS are honoured."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # To cli/app.py; rich would end the run with an error.

    forced = {"auto": None, "always": True, "never": None}[options.color]
    return Output(
        force_terminal=forced,
        no_color=True if options.color == "never" else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )


def write_rendering(rendering: RenderableType, options: OutputOptions) -> None:
    """Draw for a person."""
    from llminspect.render.screens import Trimmed

    with writing():
        console(options).print(Trimmed(rendering), crop=False)
        sys.stdout.flush()


def pause(question: str) -> str:
    """Wait for Enter on the terminal; the first letter typed before it, or none. The question leaves no trace."""
    answer = _answer(question)
    # The person's Enter has put the cursor one line below the question.
    sys.stderr.write("\x1b[1A\x1b[2K" if answer.endswith("\n") and sys.stderr.isatty() else "\n")
    sys.stderr.flush()
    return answer.strip().lower()[:1]


def confirmed(question: str) -> bool:
    """Whether the person at the terminal answers with y or yes; anything else is a no."""
    return _answer(question).strip().lower() in ("y", "yes")


def _answer(question: str) -> str:
    hold()
    _drop_typed_keys()
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = sys.stdin.readline()
    release()
    return answer


def _drop_typed_keys() -> None:
    """Keys pressed before the question are no answer to it."""
    try:
        import termios
    except ImportError:  # Windows.
        return
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


class Stream:
    """Text on standard output as it comes, made safe; `quiet` for what was given."""

    def __init__(self, options: OutputOptions) -> None:
        self._console = console(options)
        self._cursor = Cursor()

    def write(self, text: str, *, quiet: bool = False) -> None:
        from rich.text import Text

        from llminspect.render import theme
        from llminspect.render.safe import visible

        # Newlines and tabs belong to a text; the letter in front keeps a combining mark from being taken for the first.
        lines = [[visible(f"x{part}")[1:] for part in line.split("\t")] for line in text.split("\n")]
        safe = "\n".join("\t".join(parts) for parts in lines)
        touch(room=self._cursor.room_after(safe, self._console.width) if sys.stdout.isatty() else None)
        self._console.print(Text(safe, theme.QUIET if quiet else ""), end="", soft_wrap=True)
        sys.stdout.flush()


@contextmanager
def live(options: OutputOptions) -> Iterator[Live]:
    """A place on the terminal that is redrawn; where there is no terminal only the last picture is written."""
    from rich.live import Live

    hold()
    try:
        with Live(console=console(options), auto_refresh=False, transient=True) as picture:
            yield picture
    finally:
        release()


def note(text: str, options: OutputOptions, *, always: bool = False) -> None:
    """A remark for the person, on standard error, where it disturbs no pipe; `always`: with --quiet too."""
    if (always or not options.quiet) and not _SILENT:
        from llminspect.render.safe import visible

        touch(sys.stderr)
        sys.stderr.write(f"llminspect: {visible(text)}\n")


def report_error(arguments: Sequence[str], code: str, message: str, hint: str | None) -> None:
    """One line on standard error; with --json (or --lines) a JSON document on standard output as well."""
    from llminspect.render.safe import visible

    # Not in parentheses after or around others.
    aside = f"; {hint}" if hint and (message.endswith(")") or hint.endswith(")")) else f" ({hint})" if hint else ""
    line = f"llminspect: {message}{aside}"
    sys.stderr.write(visible(" ".join(line.split())) + "\n")
    if ("--json" in arguments or "--lines" in arguments) and not _UNFINISHED:
        command = next((argument for argument in arguments if not argument.startswith("-")), None)
        # Whoever wants to end does not wait for a reader.
        patience = PATIENCE if code == "interrupted" else None
        write_bytes(json_line(error_document(command, code, message, hint)), patience)


def error_document(command: str | None, code: str, message: str, hint: str | None) -> dict[str, Any]:
    return {"schema": SCHEMA, "command": command, "error": {"code": code, "message": message, "hint": hint}}


def version_text() -> str:
    """The versions that matter for a bug report."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    def version_of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    parts = [f"{name} {version_of(name)}" for name in ("numpy", "tiktoken", "tokenizers", "rich", "typer")]
    return (
        f"llminspect {__version__}\nPython {platform.python_version()} on {platform.platform()}\n{', '.join(parts)}\n"
    )


class Interrupt:
    pressed = False
    """Whether Ctrl-C was."""


def write_bytes(data: bytes, seconds: float | None = None) -> None:
    """Written at once. Ctrl-C ends the program after the line that is being written; a second Ctrl-C at once.

    TimeoutError: the reader did not take it in `seconds`.
    """
    with writing():
        _write_bytes(data, seconds)


def _write_bytes(data: bytes, seconds: float | None) -> None:
    global _UNFINISHED
    sys.stdout.flush()
    descriptor = None if sys.platform == "win32" else descriptor_of(sys.stdout)
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
    # So few bytes never wait where a pipe is ready: Ctrl-C could not end that. A file or /dev/null never waits.
    mode = os.fstat(descriptor).st_mode
    never_waits = stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(descriptor))
    most = len(data) if never_waits else select.PIPE_BUF
    while at < end:
        if interrupt.pressed and not ending:
            ending, until = True, time.monotonic() + PATIENCE
            end = (data.find(b"\n", at - 1) + 1 or end) if at else 0
            continue
        if until is not None and time.monotonic() > until:
            raise TimeoutError("standard output is not read")
        if select.select([], [descriptor], [], 0.1)[1]:
            at += os.write(descriptor, rest[at : min(end, at + most)])


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


def descriptor_of(stream: IO[Any]) -> int | None:
    """None for a stream in memory."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
