"""What stands where on the screen of `explore`: marks, columns, headings, and two maps side by side."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.analysis.explore.session import Session
from llminspect.analysis.explore.state import ExploreState
from llminspect.errors import UsageError
from llminspect.opening import open_model
from tests.commands.test_explore_screen import on_screen, press, seen

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model


def test_a_silenced_head_that_is_chosen_has_its_mark_where_cells_are_narrow(smollm2: Model) -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "3", "right", "space")
        row = next(line for line in seen(pilot).splitlines() if line.startswith("     0 "))
        before, after = row.split("     0 ")[1:]
        assert before[2:4] == "▸~" and after[2:4] == "▸×"

    on_screen(smollm2, act, size=(60, 24))


def test_what_the_settings_leave_is_a_column() -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "k", *"top_k=3", "enter")
        rows = [line for line in seen(pilot).splitlines() if re.match("(   | ▶ ).*(drawn with|cut$)", line)]
        assert len(rows) == 4 and len({re.search("drawn|cut", row).start() for row in rows}) == 1  # type: ignore[union-attr]
        assert len({len(row) for row in rows if row.endswith("%")}) == 1

    on_screen(open_model("toy-attention"), act, "A cat sat.")


def test_tokens_that_were_taken_are_part_of_the_text_where_it_is_cut_so(smollm2: Model) -> None:
    session = Session(smollm2, ExploreState("The capital of France is"), [{"do": "take", "id": 7042}])
    assert session.prompt().text == "The capital of France is Paris"
    session.do({"do": "pane", "pane": "tokens"})
    beside = session.result().answers[1]
    assert beside.error is None and "'The capital of France is Paris' --compare" in beside.command
    session.do({"do": "take", "id": 94})  # "n" and then "ed": that text is cut elsewhere.
    session.do({"do": "take", "id": 277})
    assert session.prompt().text is None and session.prompt().ids[-2:] == [94, 277]
    assert "no text is cut into these very tokens" in str(session.result().answers[1].error)


def test_the_heading_is_that_of_what_is_shown() -> None:
    async def act(pilot: Any) -> None:
        def heading() -> str:
            return seen(pilot).splitlines()[3].strip()

        await press(pilot, "4")
        of_pane = heading()
        await press(pilot, "end", "question_mark")
        assert heading() == "The keys: ? goes back" and "edit the text" in seen(pilot)
        await press(pilot, "e")
        assert heading().startswith("The same by command") and "llminspect attend" in seen(pilot)
        await press(pilot, "question_mark")
        assert heading() == "The keys: ? goes back"
        await press(pilot, "question_mark")
        assert heading() == of_pane

    on_screen(open_model("toy-attention"), act, "A cat sat.")


def test_a_map_without_numbers_says_so_and_explains_its_letters(smollm2: Model) -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "3", "m", "m", "m", "m")
        shown = seen(pilot)
        assert "induction: no head has a number here; no token comes twice" in shown
        assert "S sink" in shown and "P previous" in shown and "no letter: mixed" in " ".join(shown.split())
        await press(pilot, "shift+left", "m")
        assert "excess: no other token sees “France”" in seen(pilot)

    on_screen(smollm2, act, size=(60, 24))


def test_the_only_head_of_a_model_has_its_number() -> None:
    (head,) = llminspect.attend("A cat sat.", "toy-attention").heads

    async def act(pilot: Any) -> None:
        await press(pilot, "3")
        assert f"0.0  entropy {head.measures['entropy']:.3f}" in seen(pilot) and "entropy  0" in seen(pilot)
        await press(pilot, "4")
        assert "its habits\n What “.” looks at" in seen(pilot), "no empty line where nothing is changed"

    on_screen(open_model("toy-attention"), act, "A cat sat.", size=(60, 24))


def test_weights_before_and_after_stand_side_by_side() -> None:
    async def act(pilot: Any) -> None:
        await press(pilot, "3", "space", "enter")
        assert any(line.count("queries down, keys across") == 2 for line in seen(pilot).splitlines())
        assert seen(pilot).count("ablate 0.0 (zero)") == 1

    on_screen(open_model("toy-attention"), act, "A cat sat.", (160, 60))


def test_an_error_names_the_option_of_explore(tmp_path: Path) -> None:
    sizes = {"W_enc": (2, 3), "b_enc": (3,), "W_dec": (3, 2), "b_dec": (2,), "threshold": (3,)}
    arrays: dict[str, Any] = {name: np.ones(size, np.float32) for name, size in sizes.items()}
    np.savez(tmp_path / "params.npz", **arrays)
    with pytest.raises(UsageError, match="does not say where it reads") as raised:
        Session(open_model("toy"), ExploreState("world", features=str(tmp_path)))
    assert "--features-at " in str(raised.value.hint)
