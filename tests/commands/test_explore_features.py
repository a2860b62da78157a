"""Features of a sparse dictionary in `explore`: the pane, changes by keys, sessions, and the commands' numbers."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

import llminspect
from llminspect.analysis.explore.kept import kept
from llminspect.analysis.explore.session import Session
from llminspect.analysis.explore.state import ExploreState
from llminspect.commands.explore.app import Explorer
from llminspect.errors import UsageError
from tests.commands.test_explore import TEXT, close
from tests.commands.test_explore_screen import press, seen, settled
from tests.commands.test_features import TOY, random_dictionary
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.model.opened import Model
    from tests.conftest import Program


def test_what_is_seen_is_what_the_commands_give(smollm2: Model, tmp_path: Path, called: Program) -> None:
    """Of the pane of features, of that of the changes, and of the map of the changed model."""
    path = random_dictionary(tmp_path, smollm2.config.sizes.D, "plain", "layers.9")
    session = Session(smollm2, ExploreState(TEXT, features=path), [{"do": "pane", "pane": "features"}])
    listed: Any = session.answer(session.questions()[0], session.prompt(), session.state)
    strongest = listed.features[0]
    session.do({"do": "text", "text": "The cat sat"})
    other: Any = session.answer(session.questions()[0], session.prompt(), session.state)
    assert len(other.tokens) == 3 and other.features != listed.features
    session.do({"do": "text", "text": "The capital of Italy is"})  # As many tokens: the options are the same.
    other = session.answer(session.questions()[0], session.prompt(), session.state)
    assert other.text != listed.text
    session.undo()
    session.undo()
    assert strongest.activation == max(one.activation for one in listed.features) and strongest.token == 4
    session.do({"do": "change", "kind": "ablate", "value": f"feature.{strongest.index}"})
    session.do({"do": "change", "kind": "scale", "value": "15.attention*0.5"})
    session.do({"do": "change", "kind": "steer", "value": "feature.3*9"})
    file = tmp_path / "session.json"
    for pane in ("features", "changes", "heads"):
        session.do({"do": "pane", "pane": pane})
        file.write_text(json.dumps(session.document()))
        document = called("explore", "--session", str(file), "--json").json
        assert_fits(document, "explore")
        assert document["state"]["features"] == path and document["answers"]
        for answer in document["answers"]:
            words = shlex.split(answer["command"])[1:]
            there = called(*words[:1], "--json", *words[1:]).json
            close(answer["result"], {name: there[name] for name in answer["result"]})
    line = next(answer["python"] for answer in document["answers"] if "features=" in answer["python"])
    found = eval(line, {"llminspect": llminspect})
    close(document["answers"][-1]["result"]["experiments"], json.loads(llminspect.as_json(found))["experiments"])


def test_keys_silence_and_scale_the_chosen_feature(smollm2: Model, tmp_path: Path) -> None:
    path = random_dictionary(tmp_path, smollm2.config.sizes.D, "plain", "layers.9")
    app = Explorer(Session(kept(smollm2), ExploreState(TEXT, features=path)), tmp_path / "session.json")

    async def act(pilot: Any) -> None:
        await press(pilot, "7")
        state = app.session.state
        on = [one.index for _, result in app.shown.found for one in getattr(result, "features", ())]
        assert len(on) == 4 and f"▶        {on[0]:>2}" in seen(pilot)
        assert "4 features on at “·is”, of the 20 that read" in seen(pilot)
        await press(pilot, "space")
        assert [change.value for change in app.session.state.changes] == [f"feature.{on[0]}"]
        assert f"ablate feature.{on[0]} (zero)" in seen(pilot) and "×" in seen(pilot)
        await press(pilot, "down", "plus", "plus", "minus")
        assert app.session.state.changes[1].value == f"feature.{on[1]}*2" and "×2" in seen(pilot)
        await press(pilot, "6")
        assert f"scale feature.{on[1]}*2" in seen(pilot) and "all together" in seen(pilot)
        await press(pilot, "7", "e")
        assert "--features" in seen(pilot) and "llminspect.features(" in seen(pilot)
        await press(pilot, "e", "u", "u", "u", "space")
        assert app.session.state.changes == state.changes == ()
        await press(pilot, "left")
        assert "on at “·France”" in seen(pilot)
        await press(pilot, "q")

    async def run() -> None:
        async with app.run_test(size=(100, 40)) as pilot:
            await settled(pilot)
            await act(pilot)

    asyncio.run(run())
    assert json.loads((tmp_path / "session.json").read_text())["features"] == path


def test_without_a_dictionary_the_pane_says_how_to_open_one(called: Program) -> None:
    app = Explorer(Session(llminspect.open_model("toy"), ExploreState("world")))

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot)
            await press(pilot, "7", "space", "down")
            assert "explore --features PATH" in seen(pilot) and not app.session.state.changes

    asyncio.run(run())
    failed = called("explore", "world", "-m", "toy", "--json", "--features-at", "blocks.0.hook_resid_post")
    assert failed.code == 2 and "no effect without --features" in failed.err


@pytest.mark.parametrize(("kind", "value", "message"), [
    ("ablate", "feature.3", "there is no feature 3"),
    ("scale", "feature.1", "does not say feature.NUMBER"),
    ("patch", "feature.1", "is a feature of a sparse dictionary"),
])  # fmt: skip
def test_a_change_to_no_feature_is_refused(kind: str, value: str, message: str) -> None:
    first = ExploreState("world", features=TOY)
    session = Session(llminspect.open_model("toy"), first, [{"do": "second", "second": "hello"}])
    with pytest.raises(UsageError, match=message):
        session.do({"do": "change", "kind": kind, "value": value})
    bare = Session(llminspect.open_model("toy"), ExploreState("world"))
    if kind != "patch":
        with pytest.raises(UsageError, match="there is no dictionary of features"):
            bare.do({"do": "change", "kind": kind, "value": value})


@pytest.mark.parametrize(("features", "message"), [
    ("nowhere", "there is no file or folder"), (3, "features = 3 is not a value"), (None, "features = null"),
])  # fmt: skip
def test_a_session_whose_dictionary_is_none_is_refused(
    features: Any, message: str, called: Program, tmp_path: Path
) -> None:
    path = tmp_path / "session.json"
    document = {"schema": 1, "session": "explore", "model": "toy", "text": "world", "chat": False, "events": []}
    path.write_text(json.dumps({**document, "features": features}))
    failed = called("explore", "--session", str(path))
    assert failed.code and message in failed.err and failed.err.count("\n") == 1
