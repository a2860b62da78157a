"""`tokenize --watch`: keys, what they make of the text, and the whole of it in a terminal of its own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.text import Text

from llminspect.commands.tokenize.watching import BACK, CLEAR, END, ENTER, LEAVE, after_keys, fitting, keys_of
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.conftest import Program

pty = pytest.importorskip("pty")


def test_keys_are_characters_and_names() -> None:
    assert keys_of("hé猫\x7f\x15\r") == ["h", "é", "猫", BACK, CLEAR, ENTER]
    assert keys_of("\x1b[A\x1b[1;5Ca\x1bOPb\x01\x02") == ["a", "b"]
    assert keys_of("\x03") == [LEAVE] and keys_of("\x1b") == [END] and keys_of("\x04") == [END]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["c", BACK, "d"], ("abd", None)),
        ([CLEAR, "x"], ("x", None)),
        (["c", ENTER, "d"], ("abc", ENTER)),
        ([BACK, BACK, BACK, "z"], ("z", None)),
        ([END], ("ab", END)),
    ],
)
def test_a_text_after_keys(keys: list[str], expected: tuple[str, str | None]) -> None:
    assert after_keys("ab", keys) == expected


def test_a_picture_that_is_too_high_says_how_much_is_missing() -> None:
    console = Console(width=40, height=6, force_terminal=False)
    with console.capture() as captured:
        console.print(fitting(Text("\n".join(map(str, range(20))))))
    assert captured.get().split("\n")[:5] == ["0", "1", "2", "3", "… 16 lines more"]
    with console.capture() as captured:
        console.print(fitting(Text("0\n1")))
    assert captured.get().split() == ["0", "1"]


def test_without_a_terminal_it_is_refused(called: Program) -> None:
    ran = called("tokenize", "a", "--watch", "--model", "bytes")
    assert ran.code == 2 and "--watch reads keys from a terminal" in ran.err
    ran = called("tokenize", "--watch", "--json", "--model", "bytes")
    assert ran.code == 2 and "--watch" in ran.err and "--json" in ran.err


def in_a_terminal(typed: list[tuple[str, bytes]], *arguments: str) -> tuple[int, str]:
    """What a program writes on a terminal where each text that it is waited for is answered by keys."""
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "70", "LINES": "24", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "llminspect", "tokenize", *arguments]
    running = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True)
    os.close(slave)
    seen, end = b"", time.monotonic() + 60
    for awaited, keys in [*typed, ("\0", b"")]:
        start = len(seen)
        while awaited.encode() not in seen[start:] and time.monotonic() < end:
            if not select.select([master], [], [], 0.5)[0]:
                if running.poll() is not None:
                    break
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # The other end is closed.
                data = b""
            if not data:
                break
            seen += data
        if keys:
            os.write(master, keys)
    os.close(master)
    return running.wait(timeout=60), seen.decode()


def test_tokens_follow_the_keys_and_enter_keeps_them() -> None:
    code, shown = in_a_terminal(
        [("type a text", "aé".encode()), ("3 tokens", b"\x7fb"), ("2 tokens", b"\r")], "--watch", "--model", "bytes"
    )
    assert code == 0 and shown.rindex("2 tokens") > shown.index("3 tokens") > shown.index("> ")
    assert "2 characters" in shown.split("\x1b[?25h")[-1]


def test_escape_leaves_nothing_and_ctrl_c_is_an_interrupt() -> None:
    code, shown = in_a_terminal([("1 token", b"\x1b")], "a", "--watch", "--model", "bytes")
    assert code == 0 and "1 token" not in shown.split("\x1b[?25h")[-1]
    code, _ = in_a_terminal([("1 token", b"\x03")], "a", "--watch", "--model", "bytes")
    assert code == 130


def test_a_word_that_a_model_does_not_know_is_told_where_it_is_typed() -> None:
    code, shown = in_a_terminal([("type a text", b"dog"), ("no word", b"\x1b")], "--watch", "--model", "toy")
    assert code == 0 and "has no word 'dog'" in shown
