"""The sign of life: after a second of silence, erased before anything else is written, never where nobody looks."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from llminspect.cli import waiting
from llminspect.cli.waiting import SILENCE, Waiting

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_comes_after_a_second_and_goes_before_output() -> None:
    terminal = Terminal()
    shown = Waiting("forward", terminal)
    shown.tick(shown.begun + SILENCE / 2)
    assert terminal.getvalue() == ""
    shown.tick(shown.begun + 3)
    assert terminal.getvalue().endswith("llminspect: forward … 3 s")
    shown.touch()
    assert terminal.getvalue().endswith("\r\x1b[K")
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
