"""`llminspect walk`: the way of the tutorial, each step as the command says it that the step names."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llminspect.analysis.walk import SAYS
from llminspect.commands.walk import SENTENCE
from llminspect.commands.walk.view import TRY_NEXT
from tests.closeness import same_document
from tests.fuzz.samples import llama, vocabulary
from tests.schemas import assert_fits
from tests.started import started

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Program, Ran

ROOT = Path(__file__).parent.parent.parent
HEADINGS = [f"{number}. {title}" for number, title in enumerate(SAYS, 1)]
NAMED = {
    *("text", "ids", "tokens", "count", "one_hot", "vectors", "nearest", "parameters", "parts", "position", "lens"),
    *("query", "feedforward", "next", "change", "baseline", "completion", "prompt_ids", "steps"),
}
"""Keys that have to be the same, number for number; times are not."""


def test_the_headings_are_those_of_the_tutorial() -> None:
    pages = sorted((ROOT / "docs").glob("0*.md"))
    assert [page.read_text("utf-8").splitlines()[0] for page in pages] == [f"# {heading}" for heading in HEADINGS]


@pytest.mark.usefixtures("smollm2")  # Prepared by then, which would be said.
def test_it_goes_the_whole_way_without_waiting(program: Program) -> None:
    ran = program("walk", "Alice gave Bob her book", COLUMNS="80")
    assert ran.code == 0 and ran.err == ""
    lines = ran.out.splitlines()
    assert [line for line in lines if line in HEADINGS] == HEADINGS
    assert max(map(len, lines)) <= 80
    for part in (
        "[2.0, 2.7]",
        "Alice│·gave│·Bob│·her│·book",
        "7356 4502 8363 874 1863",
        "·of",
        "25.90%",
        "0.6103",
    ):
        assert part in ran.out
    assert "\x1b" not in ran.out


def test_each_step_is_what_its_command_writes(called: Program) -> None:
    document = called("walk", SENTENCE, "--json").json
    assert_fits(document, "walk")
    assert [chapter["title"] for chapter in document["chapters"]] == list(SAYS)
    compared = 0
    for chapter in document["chapters"]:
        for part in [*chapter["by_hand"], *chapter["model"]]:
            repeated = called(*part["arguments"], "--json")
            assert repeated.code == 0, part["arguments"]
            whole = repeated.json
            assert set(part["result"]) <= set(whole), part["arguments"]
            header = {key: whole[key] for key in ("schema", "command", "model", "provenance")}
            assert_fits({**header, **part["result"]}, part["arguments"][0])
            for key in NAMED & set(part["result"]):
                assert same_document(part["result"][key], whole[key], 1e-3), (part["arguments"], key)
                compared += 1
    assert compared > 40


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of two layers that knows letters."""
    path, letters = tmp_path_factory.mktemp("small") / "small.gguf", vocabulary("llama")
    path.write_bytes(llama(letters, len(dict(letters)["tokenizer.ggml.tokens"]), layers=2).build())
    return str(path)


def test_a_piped_text_is_read_and_an_empty_pipe_gives_the_sentence(called: Program, small: str) -> None:
    given = ("walk", "--model", small)
    assert called(*given, "--json", stdin="A cat sat.\n").json["text"] == "A cat sat."
    assert called(*given, "--json").json["text"] == SENTENCE
    assert called(*given, "--ids", "49,264", "--json").json["provenance"]["ids"] == [49, 264]
    shown = called(*given, "--lines", stdin="hello\nworld\n")
    assert [line.count('"walk"') for line in shown.out.splitlines()] == [1, 1]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("toy", "it has no attention"),
        ("toy-attention", "it has no feed-forward step"),
        ("minilm", "it reads a text both ways"),
        ("tests/golden/llama", "it has no tokenizer"),
        ("tests/golden/llama-body", "its file has no output matrix"),
    ],
)
def test_a_model_of_another_kind_is_refused(called: Program, model: str, why: str) -> None:
    for given in (["--ids", "0"], ["some text"], []):
        ran = called("walk", *given, "--model", model, "-q")  # Without what is said of a model that is prepared first.
        assert ran.code == 2 and ran.out == ""
        assert f"{model} does not go from text to text: {why}" in ran.err and ran.err.count("\n") == 1


def test_the_line_of_a_step_is_safe(called: Program) -> None:
    ran = called("walk", "a\x1b[31mb", "--color", "never")
    assert ran.code == 0 and "\x1b" not in ran.out


def plain(text: str) -> str:
    """Without the codes for bold and dim, which NO_COLOR leaves."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


class OnATerminal:
    """The program with a terminal at both ends."""

    def __init__(self, *arguments: str, lines: int = 200) -> None:
        self.master, terminal = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "LINES": str(lines), "NO_COLOR": "1"}
        self.process = started(
            [sys.executable, "-m", "llminspect", *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment,
            close_fds=True,
        )
        os.close(terminal)
        self.seen = ""

    def until(self, done: Callable[[str], bool], seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while not done(self.seen) and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:  # The program has gone.
                    break
        return self.seen

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        self.until(lambda _: self.process.poll() is not None)
        os.close(self.master)
        return self.process.wait(60)


def test_on_a_terminal_enter_goes_on_and_q_ends(small: str) -> None:
    shown = OnATerminal("walk", SENTENCE, "--model", small, "--quiet")
    assert HEADINGS[1] not in shown.until(lambda seen: "Enter:" in seen)
    assert HEADINGS[0] in shown.seen
    shown.press("\n")
    assert HEADINGS[2] not in shown.until(lambda seen: HEADINGS[1] in seen and seen.count("Enter:") == 2)
    shown.press("q\n")
    assert shown.ended() == 0
    assert HEADINGS[2] not in shown.seen


def test_b_goes_back_and_the_question_says_where_one_is(small: str) -> None:
    shown = OnATerminal("walk", SENTENCE, "--model", small, "--quiet")
    assert f"step 1 of {len(SAYS)} · Enter: the next · q: end" in shown.until(lambda seen: "q: end" in seen)
    shown.press("\n")
    assert "step 2 of 9 · Enter: the next · b: back" in shown.until(lambda seen: seen.count("q: end") == 2)
    shown.press("b\n")
    shown.until(lambda seen: seen.count("q: end") == 3)
    shown.press("q\n")
    assert shown.ended() == 0
    assert [plain(shown.seen).count(heading) for heading in HEADINGS[:3]] == [2, 1, 0]


def test_a_step_that_is_longer_than_the_screen_stops_there_with_its_heading_on_each(small: str) -> None:
    shown = OnATerminal("walk", SENTENCE, "--model", small, "--quiet", lines=20)
    screens: list[list[str]] = []
    while not screens or not screens[-1][-1].startswith("step 9 of 9"):
        seen = shown.until(lambda text: text.count("q: end ") > len(screens))
        after = plain(seen).split("q: end ")[len(screens)].split("\x1b[1A\x1b[2K")[-1]  # Less what was typed.
        screens.append(after.strip("\r\n").splitlines())
        is_last = screens[-1][-1].startswith("step 9 of 9")
        shown.press("q\n" if is_last else "b\n" if len(screens) == 3 else "\n")  # Once back: the same once more.
    assert shown.ended() == 0
    assert screens[3] == screens[1] and screens[4] == screens[2] and screens[3] != screens[2]
    for screen in screens:
        number = int(re.findall(r"^step (\d) of 9", screen[-1])[0])
        found = re.search(r"step \d of 9 \((\d+ of \d+)\)", screen[-1])
        assert len(screen) <= 20 and screen[0] == HEADINGS[number - 1] + (f" ({found[1]})" if found else "")
        assert ("b: back" in screen[-1]) == (screen is not screens[0])


def test_the_end_puts_italy_into_france_and_says_what_to_try(called: Program, small: str) -> None:
    ran = called("walk", "A cat sat.", COLUMNS="140")
    last = ran.out.partition(HEADINGS[-1])[2]
    line = 'forward "The capital of France is" --patch "The capital of Italy is" --into 15.stream --position 3'
    assert f"$ llminspect {line}" in last and "the answer moves from “·Paris” to “·Rome”" in last
    assert "Try next" in last
    # Of letters, France has one more than Italy.
    letters = called("walk", "A cat sat.", "--model", small, COLUMNS="100").out
    last = letters.partition(HEADINGS[-1])[2].partition("Try next")[0]
    assert "--patch" not in last and "--ablate 1.feedforward" in last


@pytest.mark.parametrize("command", TRY_NEXT)
def test_what_to_try_next_runs(command: str, called: Program) -> None:
    assert called(*shlex.split(command)).code == 0


def test_enter_before_the_question_is_no_answer(small: str) -> None:
    shown = OnATerminal("walk", SENTENCE, "--model", small, "--quiet")
    shown.press("\n")
    shown.until(lambda seen: "Enter:" in seen)
    shown.press("q\n")
    assert shown.ended() == 0
    assert HEADINGS[1] not in shown.seen


def test_no_pause_shows_all_on_a_terminal_and_without_a_text_takes_the_sentence(small: str) -> None:
    shown = OnATerminal("walk", "--no-pause", "--model", small, "--quiet")
    shown.until(lambda seen: HEADINGS[-1] in seen)
    assert shown.ended() == 0
    assert "Enter:" not in shown.seen
    assert [line for line in plain(shown.seen).splitlines() if line in HEADINGS] == HEADINGS


def test_control_c_at_a_pause_ends_with_130(small: str) -> None:
    shown = OnATerminal("walk", SENTENCE, "--model", small, "--quiet")
    shown.until(lambda seen: "Enter:" in seen)
    shown.process.send_signal(2)
    assert shown.ended() == 130
    assert "Traceback" not in shown.seen


def test_the_walk_can_be_saved(called: Program, tmp_path: Path) -> None:
    def saved(name: str) -> Ran:
        return called("walk", SENTENCE, "--save", str(tmp_path / name), "--quiet")

    assert saved("walk.txt").code == 0
    assert "9. Looking inside" in (tmp_path / "walk.txt").read_text("utf-8")
    assert saved("walk.npz").code == 2
