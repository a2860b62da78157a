"""`explore` without a terminal: events, sessions, and the same numbers as the commands'."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from llminspect.analysis.explore.events import ACTIONS, Event, ModelFacts, applied
from llminspect.analysis.explore.kept import Stopped, kept
from llminspect.analysis.explore.session import Session
from llminspect.analysis.explore.state import PANES, ExploreState
from llminspect.analysis.explore.turns import turns_of
from llminspect.errors import UsageError, UserError
from llminspect.opening import open_model
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.analysis.explore.events import Event
    from llminspect.model.opened import Model
    from tests.conftest import Program

TEXT = "The capital of France is"
FACTS = ModelFacts(3, 2, 50)
CHANGED: list[Event] = [
    {"do": "target", "target": " Paris"},
    {"do": "change", "kind": "ablate", "value": "20.3"},
    {"do": "change", "kind": "scale", "value": "15.attention*0.5"},
    {"do": "change", "kind": "steer", "value": "London - Paris@10*1"},
    {"do": "second", "second": "The capital of Italy is"},
    {"do": "change", "kind": "patch", "value": "12.stream"},
]
HEADS: list[list[Event]] = [
    [{"do": "pane", "pane": "heads"}, {"do": "key", "index": 1}, {"do": "measure", "measure": measure}]
    for measure in ("sink", "excess", "attribution")
]
SEEN: list[list[Event]] = [
    [],
    [{"do": "take", "id": 7042}, {"do": "take", "id": 30}],
    [{"do": "knobs", "temperature": 0.8, "top_k": 20, "top_p": 0.9, "min_p": None}],
    [{"do": "cursor", "index": 2}],
    [{"do": "target", "target": " Paris"}, {"do": "versus", "versus": " London"}],
    [{"do": "cursor", "index": 2}, {"do": "target", "target": " Paris"}],
    *HEADS,
    [{"do": "pane", "pane": "head"}, {"do": "head", "layer": 11, "head": 4}, {"do": "cursor", "index": 3}],
    *([*CHANGED[:5], *events] for events in ([*HEADS[1][:2], {"do": "measure", "measure": "sink"}], *HEADS[1:])),
    [*CHANGED, {"do": "pane", "pane": "head"}, {"do": "head", "layer": 25, "head": 4}],
    [{"do": "pane", "pane": "lens"}, {"do": "target", "target": " Paris"}],
    [*CHANGED, {"do": "versus", "versus": " London"}, {"do": "pane", "pane": "changes"}],
    [{"do": "pane", "pane": "tokens"}],
    [{"do": "pane", "pane": "tokens"}, {"do": "beside", "beside": "bytes cl100k_base"}],
    [{"do": "chat", "chat": True}],
    [{"do": "text", "text": "-5 < x"}],
]


def close(one: Any, other: Any, where: str = "") -> None:
    """Equal, numbers but for the rounding of other kernels and of sums in another order; apart from what took how long,
    and the weights of all heads, which the map does not keep."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one.keys() - {"seconds", "notes"} - {key for key, value in one.items() if value == []}:
            close(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list) and one and not isinstance(one[0], int | float):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            close(a, b, f"{where}.{index}")
    elif isinstance(one, list | float) and not isinstance(other, str) and other is not None:
        found, wanted = np.asarray(one, float), np.asarray(other, float)
        scale = max(1e-2, np.max(np.abs(wanted), initial=0, where=np.isfinite(wanted)))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * scale, err_msg=where)
    else:
        assert one == other, where


@pytest.mark.parametrize(
    "events", SEEN, ids=lambda events: "-".join(str(event["do"]) for event in events[-2:]) or "none"
)
def test_what_is_seen_is_what_the_command_gives(
    events: list[Event], called: Program, smollm2: Model, tmp_path: Path
) -> None:
    """The session is written, replayed without a terminal, and each of its command lines is run beside it."""
    path = tmp_path / "session.json"
    path.write_text(json.dumps(Session(smollm2, ExploreState(TEXT), events).document()))
    document = called("explore", "--session", str(path), "--json").json
    assert_fits(document, "explore")
    assert document["events"] == [dict(event) for event in events] and document["answers"]
    for answer in document["answers"]:
        program, *words = shlex.split(answer["command"])
        assert program == "llminspect"
        there = called(*words[:1], "--json", *words[1:]).json
        assert answer["result"].keys() <= there.keys()
        close(answer["result"], {name: there[name] for name in answer["result"]})


def test_the_habits_of_a_head_are_those_of_the_command(called: Program, tmp_path: Path) -> None:
    """Over a corpus; a folder that is not there is an answer's error, and the others are there."""
    (tmp_path / "notes.txt").write_text("A cat sat. " * 200, "utf-8")
    events: list[Event] = [{"do": "corpus", "corpus": str(tmp_path)}, {"do": "pane", "pane": "head"}]
    session = Session(open_model("toy-attention"), ExploreState("A cat sat."), events)
    found = session.result().answers[-1]
    assert found.result is not None and found.result["habits"]["read"]["tokens"] == 800
    _, *words = shlex.split(found.command)
    there = called(*words, "--json").json
    close(found.result, {name: there[name] for name in found.result})
    session.do({"do": "corpus", "corpus": str(tmp_path / "none")})
    *others, last = session.result().answers
    assert last.error is not None and "cannot read" in last.error and all(one.error is None for one in others)


def test_the_line_of_python_gives_the_same(called: Program) -> None:
    import llminspect

    document = called("explore", "A cat sat.", "--model", "toy-attention", "--json").json
    found = eval(document["answers"][0]["python"], {"llminspect": llminspect})
    close(document["answers"][0]["result"], json.loads(llminspect.as_json(found)))


def test_without_a_terminal_the_open_pane_is_drawn(called: Program, tmp_path: Path) -> None:
    ran = called("explore", "-m", "toy-attention", stdin="A cat sat.")
    assert ran.code == 0 and "sat  56.27%" in ran.out and "llminspect generate 'A cat sat.'" in ran.out
    picture = tmp_path / "seen.svg"
    assert called("explore", "A cat sat.", "-m", "toy-attention", "--save", str(picture)).code == 0
    assert "56.27%" in picture.read_text()


@pytest.mark.parametrize(("words", "what"), [(2000, "8,000 tokens"), (50_000, "100,001 characters")])
def test_a_long_text_is_refused_in_one_line_before_anything_is_computed(words: int, what: str, called: Program) -> None:
    text = "A cat sat." * words if words == 2000 else "A " * words + "A"
    ran = called("explore", "-m", "toy-attention", stdin=text)
    assert ran.code == 2 and f"the text has {what}, and explore takes" in ran.err and ran.err.count("\n") == 1


def test_events_lead_from_state_to_state() -> None:
    state = ExploreState("A cat")
    for event in ({"do": "take", "id": 7}, {"do": "take", "id": 8}, {"do": "back"}, {"do": "take", "id": 9}):
        state = applied(state, event, FACTS)
    assert state.taken_ids() == [7, 9] and len(state.taken) == 3
    state = applied(applied(state, {"do": "back"}, FACTS), {"do": "take", "id": 8}, FACTS)
    assert state.taken_ids() == [7, 8] and len(state.taken) == 3  # A branch that was there already.
    assert applied(state, {"do": "go", "node": None}, FACTS).taken_ids() == []
    assert applied(state, {"do": "text", "text": "A dog"}, FACTS).taken == ()


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"do": "fly"},
        {"do": ["text"]},
        {"do": "text", "text": ""},
        {"do": "text", "text": 3},
        {"do": "text", "text": "a" * 100_001},
        {"do": "text", "text": "a", "more": 1},
        {"do": "head", "layer": 3, "head": 0},
        {"do": "head", "layer": True, "head": 0},
        {"do": "beside", "beside": "a b c d e"},
        {"do": "take", "id": 50},
        {"do": "take", "id": -1},
        {"do": "go", "node": 0},
        {"do": "unchange", "index": 0},
        {"do": "pane", "pane": "tree"},
        {"do": "measure", "measure": "beauty"},
        {"do": "change", "kind": "patch", "value": "1.stream"},
        {"do": "change", "kind": "delete", "value": "1.0"},
        {"do": "knobs", "temperature": -1.0, "top_k": None, "top_p": None, "min_p": None},
        {"do": "knobs", "temperature": float("nan"), "top_k": None, "top_p": None, "min_p": None},
        {"do": "knobs", "temperature": None, "top_k": 2.5, "top_p": None, "min_p": None},
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(event: Any) -> None:
    with pytest.raises(UsageError):
        applied(ExploreState("A cat"), event, FACTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "no JSON object"),
        ("{}", "no session of explore"),
        ('{"session": "explore", "schema": 1, "model": 3}', "model = 3 is not a value"),
        (
            '{"session": "explore", "schema": 1, "model": "toy", "text": "", "chat": false, "events": []}',
            "with no text",
        ),
        (
            '{"session": "explore", "schema": 1, "model": "toy", "text": "a", "chat": false, "events": [{"do": "x"}]}',
            "event 0 of the session",
        ),
        (
            '{"session": "explore", "schema": 1, "model": "toy", "text": "a", "chat": false, "events": [], "x": null}',
            'has "x", which no session has',
        ),
        (
            '{"session": "explore", "schema": true, "model": "toy", "text": "a", "chat": false, "events": []}',
            "no session of explore",
        ),
    ],
)
def test_a_file_that_is_no_session_is_refused(content: str, message: str, called: Program, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text(content)
    ran = called("explore", "--session", str(path))
    assert ran.code in (1, 2) and message in ran.err and ran.err.count("\n") == 1
    ran = called("explore", "a text", "--session", str(path))
    assert ran.code == 2 and "has a text of its own" in ran.err


@pytest.mark.parametrize(
    ("kind", "value"),
    [("ablate", "30.0"), ("scale", "3.2"), ("scale", "*2"), ("steer", "x"), ("steer", "a@99"), ("patch", "3.nothing")],
)
def test_a_change_to_what_is_not_there_is_refused_at_once(kind: str, value: str, smollm2: Model) -> None:
    session = Session(smollm2, ExploreState(TEXT), [{"do": "second", "second": "x"}])
    with pytest.raises(UsageError):
        session.do({"do": "change", "kind": kind, "value": value})
    assert session.state.changes == () and len(session.events) == 1


def test_a_token_is_taken_at_the_end_only_and_a_target_is_one_token() -> None:
    at_first = applied(ExploreState("A cat"), {"do": "cursor", "index": 0}, FACTS)
    with pytest.raises(UsageError, match="after the last one only"):
        applied(at_first, {"do": "take", "id": 7}, FACTS)
    assert applied(applied(at_first, {"do": "cursor", "index": None}, FACTS), {"do": "take", "id": 7}, FACTS).taken
    session = Session(open_model("toy"), ExploreState("world"))
    for what in ("target", "versus"):
        with pytest.raises(UsageError, match="no word"):
            session.do({"do": what, what: "nothing that it knows"})
    assert session.events == []


@pytest.mark.parametrize("top_k", [float("inf"), float("nan"), 1.5, -(10**400), "3", True])
def test_a_number_that_is_none_is_refused(top_k: object) -> None:
    knobs = {"do": "knobs", "temperature": None, "top_k": top_k, "top_p": None, "min_p": None}
    with pytest.raises(UserError, match="event 0 of the session"):
        Session(open_model("toy-attention"), ExploreState("A cat sat."), [knobs])


def test_a_session_cannot_make_changes_without_end() -> None:
    changes: list[Event] = [{"do": "change", "kind": "scale", "value": f"0.0*{number}"} for number in range(2, 103)]
    with pytest.raises(UserError, match="event 100 of the session: there are 100 changes"):
        Session(open_model("toy-attention"), ExploreState("A cat sat."), changes)


def test_a_session_in_no_folder_is_refused_before_anything_is_opened(called: Program) -> None:
    ran = called("explore", "world", "--model", "toy", "--session", "/nowhere/s.json")
    assert ran.code != 0 and ran.err.count("\n") == 1


def test_undoing_all_events_leads_back_to_the_start(smollm2: Model) -> None:
    session = Session(smollm2, ExploreState(TEXT), CHANGED)
    assert len(session.state.changes) == 4
    while session.undo():
        pass
    assert session.state == ExploreState(TEXT) and session.events == []
    assert {event["do"] for event in CHANGED} < ACTIONS.keys() and len(PANES) == 7


def test_the_turns_of_a_chat_are_told_by_their_ends_and_nothing_is_lost(smollm2: Model) -> None:
    session = Session(smollm2, ExploreState(TEXT, chat=True))
    tokens = session.prompt().tokens
    turns = turns_of(tokens, smollm2.eos_ids)
    assert [turn.role for turn in turns] == ["system", "user", "assistant"]
    assert [turn.first for turn in turns] == [0, *(turn.end for turn in turns[:-1])] and turns[-1].end == len(tokens)
    session.do({"do": "take", "id": 504})
    assert [turn.role for turn in turns_of(session.prompt().tokens, smollm2.eos_ids)] == [
        "system", "user", "assistant"
    ]  # fmt: skip
    assert turns_of([], smollm2.eos_ids) == []
    plain = Session(smollm2, ExploreState(TEXT)).prompt().tokens
    assert [turn.role for turn in turns_of(plain, smollm2.eos_ids)] == ["no role"]


def test_a_kept_beginning_gives_the_same_and_reads_less(smollm2: Model) -> None:
    model, rows = kept(smollm2), list[int]()
    forward = model.architecture.forward

    def counted(*given: Any) -> Any:
        rows.append(given[2].shape[-1])
        return forward(*given)

    object.__setattr__(model, "architecture", replace(model.architecture, forward=cast("Any", counted)))
    session = Session(model, ExploreState(TEXT))
    for text in (TEXT, f"{TEXT} in", f"{TEXT} in Europe,", "The capital of Spain is"):
        session.do({"do": "text", "text": text})
        (one,) = session.questions()
        found: Any = session.answer(one, session.prompt(), session.state)
        plain: Any = Session(smollm2, ExploreState(text))
        wanted = plain.answer(one, plain.prompt(), plain.state)
        assert [step.id for step in found.steps[0].alternatives] == [step.id for step in wanted.steps[0].alternatives]
        np.testing.assert_allclose(found.steps[0].prob, wanted.steps[0].prob, rtol=1e-4)
    assert rows == [5, 1, 2, 2]


def test_a_pass_that_nobody_waits_for_ends(smollm2: Model) -> None:
    model = kept(smollm2)
    model.flag.set()
    with pytest.raises(Stopped):
        model.run([1, 2, 3])
    model.flag.clear()
    assert model.run([1, 2, 3]).stream_TD.shape == (3, 576)
