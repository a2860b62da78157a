"""The screen of `explore`: what is said at its foot, what is refused there, panes under changes and choices."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from llminspect.analysis import habits
from llminspect.commands.explore.foot import foot_keys, foot_lines
from llminspect.opening import open_model
from tests.commands.test_explore_screen import on_screen, press, seen, settled

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model


@pytest.mark.parametrize("columns", [30, 40, 80])
def test_what_is_refused_is_said_in_full(columns: int) -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "s", *"nonsense", "enter")
        foot = seen(pilot).splitlines()[-4:]
        assert "--steer 'nonsense' does not say words@layer*factor" in " ".join(" ".join(foot).split())
        assert '(for example --steer "London - Paris@10*1")' in " ".join(" ".join(foot).split())
        await press(pilot, "s")
        assert "such as London - Paris@10*1" in " ".join(seen(pilot).split())

    on_screen(open_model("toy-attention"), act, "A cat sat.", (columns, 24))


def test_of_a_sentence_that_is_too_long_the_middle_is_left_out() -> None:
    shown = foot_lines(f"wrong: {'x' * 300} {'word ' * 60}(do this)", 40)
    assert shown.startswith("wrong: …") and shown.replace("\n", " ").endswith("(do this)")
    assert len(shown.splitlines()) <= 4 and max(map(len, shown.splitlines())) <= 40
    for room in range(1, 100):
        keys = foot_keys("a model with a long name", room)
        assert len(keys) <= room and keys.startswith("? keys"[: 0 if room < 6 else 6])


def test_a_file_that_is_there_is_not_written_over_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "explore-next.svg"
    mine.write_text("mine")

    async def act(pilot: Any) -> None:
        await press(pilot, "w", "enter")  # The name that is offered is free.
        assert mine.read_text() == "mine" and "<svg" in (tmp_path / "explore-next-1.svg").read_text()
        for answer, after in (("", "mine"), ("n", "mine"), ("y", "<svg")):
            await press(pilot, "w")
            pilot.app.query_one("#line").value = mine.name
            await press(pilot, "enter")
            assert "y writes over it" in seen(pilot)
            await press(pilot, *answer, "enter")
            assert mine.read_text().startswith(after)

    on_screen(open_model("toy-attention"), act, "A cat sat.")


def test_a_text_that_grows_too_long_stays_as_it_was() -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "i")
        for value in ("A cat sat. " * 3, "A cat sat. " * 1000, "A " * 60_000):
            pilot.app.query_one("#text").value = value
            await settled(pilot)
            assert ("at most" in seen(pilot) or "more than 100,000" in seen(pilot)) == (len(value) > 100)
        assert pilot.app.session.state.text == pilot.app.query_one("#text").value == "A cat sat. " * 3

    on_screen(open_model("toy-attention"), act, "A cat sat.")


def test_tokenizers_are_chosen_for_the_comparison() -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "o", *"bytes no-such-one", "enter")
        assert pilot.app.session.state.beside == "bytes no-such-one" and "no-such-one" in "".join(
            seen(pilot).splitlines()[-5:]
        )
        await press(pilot, "u", "u", "o", *"bytes letters", "enter", "end")
        assert "[2 tokens]" in seen(pilot) and "bytes   " in seen(pilot) and "letters   " in seen(pilot)
        await press(pilot, "u", "u", "enter", "o", *"bytes", "enter", "end")
        assert "[2 tokens]" in seen(pilot) and "bytes  " in seen(pilot) and pilot.app.session.state.taken

    on_screen(open_model("toy-attention"), act, "A cat sat.")


def test_a_chat_is_shown_as_turns_with_their_roles(smollm2: Model) -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "c", "2")
        shown = seen(pilot)
        assert "turn 0: system" in shown and "turn 1: user" in shown and "turn 2: assistant" in shown
        assert "<|im_start|>user⏎" in shown
        await pilot.click("#pane", offset=(3, 1))
        await settled(pilot)
        assert pilot.app.session.state.cursor == 0
        await press(pilot, "u", "u", "u")
        assert not pilot.app.session.state.chat and "turn 0" not in seen(pilot)

    on_screen(smollm2, act, size=(80, 40))


def test_the_map_and_the_head_are_shown_before_and_after_a_change() -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "3", "a", "space")
        shown = seen(pilot)
        assert "before" in shown and "after" in shown and "→" in shown and "[×]" in shown
        names = next(line for line in shown.splitlines() if line.startswith("       0 "))
        await pilot.click("#pane", offset=(names.rindex("0"), 2))
        await settled(pilot)
        await press(pilot, "enter")
        shown = seen(pilot)
        assert "before" in shown and "after" in shown
        assert "ablate 0.attention (zero), ablate 0.0 (zero)\n 0.0: head 0 of layer 0\n" in shown
        await press(pilot, "6")
        assert re.search(r"change +token +logit change +before +after", seen(pilot))
        await press(pilot, "u")
        await press(pilot, "u", "u", "u", "u")
        assert pilot.app.session.state.changes == () and "after" not in seen(pilot)
        await press(pilot, "3")
        assert "before" not in seen(pilot)

    on_screen(open_model("toy-attention"), act, "A cat sat.", (120, 40))


def test_habits_over_a_corpus_are_read_in_the_thread_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "notes.txt").write_text("A cat sat. " * 400, "utf-8")
    pieces, go_on = list[str](), threading.Event()
    measured = habits._measured

    def slowly(*given: Any) -> dict[str, float]:
        pieces.append("one")
        go_on.wait(30)
        return measured(*given)

    async def act(pilot: Any) -> None:
        app = pilot.app
        await press(pilot, "4", "b", *str(texts), "enter")
        assert "What it does: " in seen(pilot) and "1,600 tokens in 13 pieces" in " ".join(seen(pilot).split())
        await press(pilot, "right")
        monkeypatch.setattr(habits, "_measured", slowly)
        app.session.do({"do": "corpus", "corpus": str(texts / "notes.txt")})
        app.follow()
        while not pieces:
            await pilot.pause()
        assert app.computing.reached() == "128 of 2,048 tokens" and "What it does: " not in seen(pilot)
        await pilot.press("escape")
        go_on.set()
        await settled(pilot)
        assert app.shown.error == "stopped" and len(pieces) == 1

    on_screen(open_model("toy-attention"), act, "A cat sat.", (100, 120))
