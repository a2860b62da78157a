"""The screen of `explore`, with keys and the mouse: every pane, resizing, undo, errors, files; and random keys."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.color import ColorSystem

from llminspect.analysis.explore.kept import kept
from llminspect.analysis.explore.session import Session
from llminspect.analysis.explore.state import PANES, ExploreState
from llminspect.commands.explore.app import Explorer
from llminspect.commands.explore.keys import KEYS, help_text
from llminspect.commands.explore.panes import ABOUT
from llminspect.opening import open_model
from tests.commands.test_looks import DRAWN, GRAPHICS, LETTERS, as_shown, contrast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from llminspect.model.opened import Model

TEXT = "The capital of France is"


async def settled(pilot: Any) -> None:
    """Nothing is computed any more, and all of it is on the screen."""
    app = pilot.app
    for _ in range(4000):
        await pilot.pause()
        if app.computing.since is None and app.computing.wished is None:
            break
        await asyncio.sleep(0.005)
    await pilot.pause()


def on_screen(
    model: Model,
    act: Callable[[Any], Awaitable[None]],
    text: str = TEXT,
    size: tuple[int, int] = (80, 24),
    path: Path | None = None,
) -> Explorer:
    """The app after `act`, as it was when that ended."""
    app = Explorer(Session(kept(model), ExploreState(text)), path)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await act(pilot)

    asyncio.run(run())
    return app


def seen(pilot: Any) -> str:
    """What is on the screen, without colours."""
    width, height = pilot.app.size
    lines = pilot.app.screen._compositor.render_strips()[:height]
    return "\n".join("".join(segment.text for segment in strip)[:width].rstrip() for strip in lines)


async def press(pilot: Any, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def test_what_a_pane_shows_is_said_in_sixty_columns() -> None:
    assert max(map(len, ABOUT.values())) <= 58


def test_keys_write_a_text_and_go_back(smollm2: Model) -> None:
    async def act(pilot: Any) -> None:
        assert "▶ ·Paris    77.25%" in seen(pilot) and "[1 next]" in seen(pilot)
        await press(pilot, "enter")
        assert "is▸·Paris◂" in seen(pilot) and "tokens taken" in seen(pilot)
        await press(pilot, "backspace", "down", "enter")
        state = pilot.app.session.state
        assert len(state.taken) == 2 and state.way() == [1]  # A fork.
        await press(pilot, "u")
        assert pilot.app.session.state.way() == []
        await press(pilot, "i", *" in", "escape")
        assert pilot.app.session.state.text == f"{TEXT} in" and pilot.app.focused is None
        await press(pilot, "u", "u")
        await press(pilot, "u", "t", *" Paris", "enter", "v", *" London", "enter")
        shown = seen(pilot)
        assert "target ·Paris 77.25%, rank 0" in shown and "versus ·London 1.25%, rank 2" in shown
        assert "logit of target - logit of versus: +4.126" in shown
        await press(pilot, "k", *"top_k=2 temperature=0.5", "enter")
        assert "cut" in seen(pilot)

    on_screen(smollm2, act)


def test_the_key_of_the_map_is_in_sight_whatever_head_is_chosen(smollm2: Model) -> None:
    async def act(pilot: Any) -> None:
        for keys in (["3"], ["down"] * 29):
            await press(pilot, *keys)
            assert all(part in seen(pilot) for part in ("entropy  0", " 1", "S sink", "~ diffuse"))
        assert "   29 [" in seen(pilot)
        await press(pilot, "1")
        assert "S sink" not in seen(pilot)

    on_screen(smollm2, act, size=(60, 24))


def test_heads_are_chosen_and_changed(smollm2: Model) -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "3", *["down"] * 6, "right", "right", "space")
        app, state = pilot.app, pilot.app.session.state
        assert (state.layer, state.head) == (6, 2) and "[×]" in seen(pilot)
        await press(pilot, "m", "shift+left", "enter")
        assert app.session.state.pane == "head" and "looks at in 6.2" in seen(pilot)
        await press(pilot, "plus", "a", "6")
        assert [change.value for change in app.session.state.changes] == ["6.2", "6.2*2", "6.attention"]
        assert "all together" in seen(pilot) and "…" not in seen(pilot).split("all together")[0].split("change")[-1]
        await press(pilot, "down", "x", "u", "u", "u")
        assert [change.value for change in app.session.state.changes] == ["6.2", "6.2*2"]
        await press(pilot, "s", *"nonsense", "enter")
        assert "does not say words@layer*factor" in seen(pilot)
        await press(pilot, "p", *"The capital of Italy is", "enter", "enter")
        assert app.session.state.changes[-1].value == "6.stream"

    on_screen(smollm2, act, size=(100, 40))


def test_a_fault_of_the_thread_ends_the_screen_and_keeps_the_session(tmp_path: Path) -> None:
    path = tmp_path / "session.json"

    async def act(pilot: Any) -> None:
        await press(pilot, "enter")
        pilot.app.session.questions = None
        pilot.app.session.answer = None
        await pilot.press("3")
        for _ in range(200):
            await pilot.pause()

    with pytest.raises(TypeError):
        on_screen(open_model("toy-attention"), act, "A cat sat.", path=path)
    assert [event["do"] for event in json.loads(path.read_text())["events"]] == ["take", "pane"]


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (160, 48), (300, 60)])
def test_every_pane_fits_every_size(size: tuple[int, int], tmp_path: Path) -> None:
    model = open_model("toy-attention")

    async def act(pilot: Any) -> None:
        for number, pane in enumerate(PANES, 1):
            await press(pilot, str(number))
            assert f"[{number} {pane}]" in seen(pilot) or size[0] < 60
            assert pilot.app.query_one("#side").display == (size[0] >= 130 and pane != "next")
            await pilot.resize_terminal(size[0] + 7, size[1] + 3)
            await pilot.resize_terminal(*size)
        await press(pilot, "d", "question_mark")
        assert "edit the text" in seen(pilot)
        await press(pilot, "question_mark", "e", "e")

    on_screen(model, act, "A cat sat.", size)


def test_the_mouse_points_at_tokens_panes_heads_and_candidates() -> None:
    async def act(pilot: Any) -> None:
        app = pilot.app
        await pilot.click("#tokens", offset=(3, 0))
        await settled(pilot)
        assert app.session.state.cursor == 1
        await pilot.click("#tokens", offset=(10, 0))
        await settled(pilot)
        assert app.session.state.cursor is None  # The last token: a token can be taken there.
        await pilot.click("#tokens", offset=(3, 0))
        await settled(pilot)
        await pilot.click("#tokens", offset=(1, 0), shift=True)
        await settled(pilot)
        assert app.session.state.key == 0
        await pilot.click("#tabs", offset=(25, 0))
        await settled(pilot)
        assert app.session.state.pane == "heads"
        for _ in range(2):
            await pilot.click("#pane", offset=(7, 1))
            await settled(pilot)
        assert app.session.state.pane == "head"
        await press(pilot, "1", "full_stop", "full_stop", "full_stop")
        await pilot.click("#pane", offset=(3, 1))
        await settled(pilot)
        assert len(app.session.state.taken) == 1

    on_screen(open_model("toy-attention"), act, "A cat sat.")


def test_hostile_text_reaches_the_terminal_harmless() -> None:
    async def act(pilot: Any) -> None:
        for number in range(1, 8):
            await press(pilot, str(number))
            shown = seen(pilot)
            assert "\x1b" not in shown and "\u202e" not in shown and shown.splitlines()[0].endswith("[red]x")
        await press(pilot, "i")
        assert "not edited here" in seen(pilot) and pilot.app.focused is None

    on_screen(open_model("toy"), act, "world \x1b[31m \u202e [red]x")


def test_what_is_seen_is_written_and_the_session_kept(tmp_path: Path) -> None:
    path = tmp_path / "session.json"

    async def act(pilot: Any) -> None:
        for name in ("a.svg", "a.html", "a.txt", "a.json", "a.png"):
            await press(pilot, "w")
            pilot.app.query_one("#line").value = str(tmp_path / name)
            await press(pilot, "enter")
            assert "written" in seen(pilot)
        await press(pilot, "w", *"no.doc", "enter")
        assert "--save cannot write" in seen(pilot)
        await press(pilot, "enter", "q")

    on_screen(open_model("toy-attention"), act, "A cat sat.", path=path)
    assert "56.27%" in (tmp_path / "a.txt").read_text() and "56.27%" in (tmp_path / "a.svg").read_text()
    assert json.loads((tmp_path / "a.json").read_text())["command"] == "explore"
    assert [event["do"] for event in json.loads(path.read_text())["events"]] == ["take"]


def test_a_session_that_is_ended_from_outside_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "session.json"

    async def act(pilot: Any) -> None:
        await press(pilot, "enter")
        pilot.app._ended(15)
        assert pilot.app.return_code == 143

    on_screen(open_model("toy-attention"), act, "A cat sat.", path=path)
    assert [event["do"] for event in json.loads(path.read_text())["events"]] == ["take"]


def test_a_text_that_cannot_be_read_leaves_no_answers_of_another_pane() -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "3", "c", "2", "5", "6", "1")
        assert "has no chat template" in seen(pilot)

    on_screen(open_model("toy-attention"), act, "A cat sat.")


def test_the_help_has_every_key() -> None:
    assert len(help_text(200).splitlines()) == len(KEYS)
    for room in (20, 58, 78):
        shown = help_text(room)
        assert max(map(len, shown.splitlines())) <= room and set("".join(text for *_, text in KEYS)) <= set(shown)


def test_random_keys_end_in_no_error() -> None:
    """A part of what `python -m tests.bench explore` does."""
    from tests.bench.explore import soak

    soak(open_model("toy-attention"), keys=150, seed=1)


@pytest.mark.parametrize("system", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT])
def test_all_that_is_drawn_contrasts_in_either_theme(smollm2: Model, system: ColorSystem) -> None:
    """Letters by 4.5 to 1, lines, bars and the handle of the scrollbar by 3 (WCAG 2, 1.4.3 and 1.4.11)."""
    faint: set[tuple[str, str, float]] = set()

    async def act(pilot: Any) -> None:
        for _ in range(2):
            for number in range(1, 6):
                await pilot.press(str(number))
                await settled(pilot)
                faint.update(_faint(pilot, system))
            await pilot.press("d")

    on_screen(smollm2, act)
    assert not faint


def _faint(pilot: Any, system: ColorSystem) -> Iterator[tuple[str, str, float]]:
    for strip in pilot.app.screen._compositor.render_strips()[: pilot.app.size.height]:
        for text, style, _ in strip:
            if text.strip() and style and style.color and style.bgcolor:
                ink, paper = as_shown(style.color, system), as_shown(style.bgcolor, system)
                if style.dim:  # As a terminal draws it: half way to what is under it.
                    ink = tuple((one + other) / 2 for one, other in zip(ink, paper, strict=True))  # type: ignore[assignment]
                found = contrast(ink, paper)
                if found < (GRAPHICS if DRAWN.fullmatch(text) else LETTERS):
                    yield pilot.app.theme, text, round(found, 2)
