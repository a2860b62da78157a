"""The sign of life: after a second of silence, erased before anything else is written, never where nobody looks."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.text import Text

import llminspect
from llminspect.__main__ import run
from llminspect.arguments.shared import OutputOptions
from llminspect.cli import waiting
from llminspect.cli.opening import ProgressBars
from llminspect.cli.output import write_rendering, write_text
from llminspect.cli.waiting import SILENCE, Waiting
from tests.commands.test_looks import PICTURES

# How wide a table of `walk` and `forward` is hangs on how long each layer took.
OF_COMMANDS = {words[0]: words for words in PICTURES.values() if words[0] != "walk" and "-" not in words} | {
    "forward": PICTURES["lens"],
    "generate": ("generate", "Mr Toad met Mrs Hen. Mr", "--model", "toy-induction", "--max-tokens", "6"),
}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[78]|.|\n", re.DOTALL)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What is seen of all that was written."""
        rows, row, column, saved = [list[str]()], 0, 0, (0, 0)
        for mark in CONTROL.findall(self.getvalue()):
            if mark == "\n":
                row, column = row + 1, 0
                rows += [[]] * (row == len(rows))
            elif mark == "\r":
                column = 0
            elif mark == "\x1b7":
                saved = row, column
            elif mark == "\x1b8":
                row, column = saved
            elif mark.endswith("K") and mark.startswith("\x1b"):
                del rows[row][0 if mark == "\x1b[2K" else column :]
            elif mark.endswith("A") and mark.startswith("\x1b"):
                row -= int(mark[2:-1])
            elif not mark.startswith("\x1b"):
                rows[row][column:] = [*[" "] * (column - len(rows[row])), mark, *rows[row][column + 1 :]]
                column += 1
        return ["".join(cells).rstrip() for cells in rows]


def test_it_comes_after_a_second_and_goes_before_output() -> None:
    terminal = Terminal()
    shown = Waiting("forward", terminal)
    shown.tick(shown.begun + SILENCE / 2)
    assert terminal.getvalue() == ""
    shown.tick(shown.begun + 3)
    assert terminal.screen() == ["llminspect: forward … 3 s"]
    shown.touch()
    assert terminal.screen() == [""]
    written = terminal.getvalue()
    shown.touch()
    assert terminal.getvalue() == written


def test_nothing_comes_while_something_else_is_drawn() -> None:
    terminal = Terminal()
    shown = Waiting("generate", terminal)
    shown.touch(1)
    shown.tick(time.monotonic() + 9)
    assert terminal.getvalue() == ""
    shown.touch(-1)
    shown.tick(time.monotonic() + 9)
    assert "generate" in terminal.getvalue()


def test_only_on_a_terminal_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, stream in ((False, Terminal()), (True, io.StringIO())):
        monkeypatch.setattr("sys.stderr", stream)
        with waiting.waiting("forward", wanted):
            assert not waiting._CURRENT
    monkeypatch.setattr("sys.stderr", Terminal())
    with waiting.waiting("forward", True):
        assert [shown.what for shown in waiting._CURRENT] == ["forward"]
    assert not waiting._CURRENT


def test_within_a_line_it_comes_after_the_text_and_leaves_it_alone() -> None:
    terminal = Terminal()
    shown = Waiting("generate", terminal)
    for text, room in (("The capital", 69), (" of France", 3), (" is\nParis", 75)):
        shown.touch(0, room)
        terminal.write(text)
        shown.tick(shown.begun + 12)
        assert terminal.screen()[-1].endswith(" … 12 s") == (room > 3)
    shown.touch()
    assert terminal.screen() == ["The capital of France is", "Paris"]


def test_a_bar_is_gone_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")  # A style keeps the codes of the first terminal that it is written to.
    with ProgressBars(OutputOptions(), "cells") as progress:
        assert progress is not None
        progress("sweeping", 5, 10)
        assert sys.stdout is terminal and "sweeping" in terminal.getvalue()
        waiting.touch()
        terminal.write("a result\n")
        progress("sweeping", 6, 10)
    assert not waiting.BARS and [line for line in terminal.screen() if line] == ["a result"]


@pytest.mark.parametrize("command", OF_COMMANDS)
def test_every_command_says_something_and_its_picture_stays(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each silence before anything is written had taken nine seconds."""
    plain, slow = Terminal(), Terminal()
    take_away = waiting._take_away

    def late(*given: Any, **more: Any) -> None:
        for shown in waiting._CURRENT:
            shown.tick(shown.quiet_since + 9)
        take_away(*given, **more)

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    for terminal in (plain, slow):
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
        assert run(OF_COMMANDS[command]) == 0
        assert not waiting._CURRENT and not waiting.BARS
        monkeypatch.setattr(waiting, "_take_away", late)
    times = re.compile(r"\d[\d.]* (µs|ms|s)\b")
    assert f"llminspect: {command} … 9 s" in slow.getvalue()
    screens = [[" ".join(times.sub("", line).split()) for line in one.screen()] for one in (plain, slow)]
    assert screens[0] == screens[1]


def test_nothing_is_written_between_the_letters_that_a_person_types(monkeypatch: pytest.MonkeyPatch) -> None:
    held, keys = list[int](), io.BytesIO(b"a\n")

    def readinto(buffer: Any) -> int:
        held.append(waiting._CURRENT[0].held)
        return keys.readinto(buffer)

    keyboard = Terminal()
    monkeypatch.setattr(keyboard, "buffer", SimpleNamespace(raw=SimpleNamespace(readinto=readinto)), raising=False)
    monkeypatch.setattr("sys.stdin", keyboard)
    monkeypatch.setattr("sys.stderr", Terminal())
    with waiting.waiting("tokenize", True):
        assert waiting.standard_input().read() == b"a\n"
        assert held == [1, 1] and waiting._CURRENT[0].held == 0


def test_nothing_comes_between_the_parts_of_what_a_slow_terminal_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, errors = Terminal(), Terminal()
    plain = terminal.write

    def slowly(text: str) -> int:
        for shown in waiting._CURRENT:
            shown.tick(shown.quiet_since + 9)
        return plain(text)

    monkeypatch.setattr(terminal, "write", slowly)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", errors)
    with waiting.waiting("schema", True):
        write_text("one\ntwo\n")
        write_rendering(Text("three"), OutputOptions())
        assert errors.getvalue() == "" and not waiting._CURRENT[0].held
    assert terminal.screen()[:3] == ["one", "two", "three"]


def test_standard_input_is_read_at_one_place() -> None:
    package = Path(llminspect.__file__).parent
    readers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"sys\.stdin\.buffer", path.read_text("utf-8"))
    }
    # Of the other two one refuses terminals, and one runs in a process of its own.
    assert readers == {"cli/waiting.py", "cli/over.py", "text/bounded_server.py"}
