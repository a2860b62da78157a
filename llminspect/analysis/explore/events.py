"""What a person can do, as events: JSON objects `{"do": "head", "layer": 3, "head": 1}` that lead from state to state.

A session is the list of them, and is read from files of strangers: all is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, get_args

from llminspect.analysis.explore.state import MEASURES, PANES, ChangeKind, ExploreState, Knobs, MadeChange, TakenToken
from llminspect.arguments.generate import SamplingOptions
from llminspect.arguments.option import checked
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError, as_json

MOST_EVENTS, MOST_CHANGES, LONGEST_TEXT = 20_000, 100, 100_000
"""Of a session: more events, more changes at the same time, and texts of more characters, are refused."""
MOST_BESIDE = 4
"""Tokenizers that another is compared with."""
Event = Mapping[str, Any]


@dataclass(frozen=True)
class ModelFacts:
    """What has to be known of a model to check an event."""

    layers: int
    heads: int
    vocabulary: int


class Action(NamedTuple):
    """What an event does, what it names, and what it is called where it is listed."""

    apply: Callable[..., ExploreState]
    values: dict[str, tuple[type, ...]]
    help: str


def _set(name: str, state: ExploreState, facts: ModelFacts, **values: Any) -> ExploreState:
    return replace(state, **{name: values[name]})


def _text(state: ExploreState, facts: ModelFacts, text: str) -> ExploreState:
    if not text:
        raise UsageError("the text is empty", "give at least one character")
    return replace(state, text=text, taken=(), at=None, cursor=None, key=None)


def _chosen(name: str, known: tuple[str, ...], state: ExploreState, facts: ModelFacts, **values: str) -> ExploreState:
    if values[name] not in known:
        raise UsageError(f"there is no {name} {as_json(values[name])}", f"there are {', '.join(known)}")
    return replace(state, **{name: values[name]})  # type: ignore[arg-type]


def _index(name: str, state: ExploreState, facts: ModelFacts, index: int | None) -> ExploreState:
    return replace(state, **{name: None if index is None else _within(index, LONGEST_TEXT, "token")})  # type: ignore[arg-type]


def _within(number: int, count: int, what: str) -> int:
    if not 0 <= number < count:
        raise UsageError(
            f"there is no {what} {number}", f"they run from 0 to {count - 1}" if count else "there are none"
        )
    return number


def _head(state: ExploreState, facts: ModelFacts, layer: int, head: int) -> ExploreState:
    layer, head = _within(layer, facts.layers, "layer"), _within(head, max(1, facts.heads), "head")
    return replace(state, layer=layer, head=head)


def _knobs(state: ExploreState, facts: ModelFacts, **values: float | None) -> ExploreState:
    top_k = values.get("top_k")
    if isinstance(top_k, float) and not top_k.is_integer():  # Nor are infinity and NaN.
        raise UsageError("top_k is a whole number")
    given = {**values, "top_k": None if top_k is None else int(top_k)}
    checked(SamplingOptions(**given))  # type: ignore[arg-type]
    return replace(state, knobs=Knobs(**given))  # type: ignore[arg-type]


def _beside(state: ExploreState, facts: ModelFacts, beside: str | None) -> ExploreState:
    names = (beside or "").split()
    if len(names) > MOST_BESIDE:
        raise UsageError(f"{len(names)} tokenizers were given", f"the screen compares with {MOST_BESIDE} at most")
    return replace(state, beside=" ".join(names) or None)


def _take(state: ExploreState, facts: ModelFacts, id: int) -> ExploreState:
    """The token after where the text ends now; one that was taken there before is gone to."""
    _within(id, facts.vocabulary, "id")
    if state.cursor is not None:  # What is shown there would follow another token.
        raise UsageError("a token is taken after the last one only", "move the cursor to the end of the text")
    for number in state.children(state.at):
        if state.taken[number].id == id:
            return replace(state, at=number, cursor=None)
    return replace(state, taken=(*state.taken, TakenToken(state.at, id)), at=len(state.taken), cursor=None)


def _back(state: ExploreState, facts: ModelFacts) -> ExploreState:
    return state if state.at is None else replace(state, at=state.taken[state.at].parent, cursor=None)


def _go(state: ExploreState, facts: ModelFacts, node: int | None) -> ExploreState:
    return replace(state, at=None if node is None else _within(node, len(state.taken), "branch"), cursor=None)


def _change(state: ExploreState, facts: ModelFacts, kind: str, value: str) -> ExploreState:
    if kind not in get_args(ChangeKind):
        raise UsageError(f"there is no change {as_json(kind)}", f"there are {', '.join(get_args(ChangeKind))}")
    if kind == "patch" and state.second is None:
        raise UsageError("there is no second text to patch from", "give one first")
    if len(state.changes) >= MOST_CHANGES:
        raise UsageError(f"there are {MOST_CHANGES} changes, and more are not made at the same time", "undo one first")
    change = MadeChange(kind, value)  # type: ignore[arg-type]
    return state if change in state.changes else replace(state, changes=(*state.changes, change))


def _unchange(state: ExploreState, facts: ModelFacts, index: int) -> ExploreState:
    _within(index, len(state.changes), "change")
    return replace(state, changes=state.changes[:index] + state.changes[index + 1 :])


TEXT, NUMBER, REAL, NONE = (str,), (int,), (int, float, type(None)), type(None)
ACTIONS: dict[str, Action] = {
    "text": Action(_text, {"text": TEXT}, "another text"),
    "chat": Action(partial(_set, "chat"), {"chat": (bool,)}, "the text as a message, or as it is"),
    "pane": Action(partial(_chosen, "pane", PANES), {"pane": TEXT}, "another pane"),
    "cursor": Action(partial(_index, "cursor"), {"index": (int, NONE)}, "the token that is looked at"),
    "key": Action(partial(_index, "key"), {"index": (int, NONE)}, "the token that it looks at"),
    "head": Action(_head, {"layer": NUMBER, "head": NUMBER}, "another head"),
    "measure": Action(partial(_chosen, "measure", MEASURES), {"measure": TEXT}, "what colours the map"),
    "target": Action(partial(_set, "target"), {"target": (str, NONE)}, "the token in question"),
    "versus": Action(partial(_set, "versus"), {"versus": (str, NONE)}, "what it is compared with"),
    "knobs": Action(_knobs, {"temperature": REAL, "top_k": REAL, "top_p": REAL, "min_p": REAL}, "how tokens are drawn"),
    "beside": Action(_beside, {"beside": (str, NONE)}, "the tokenizers to compare with"),
    "corpus": Action(
        partial(_set, "corpus"), {"corpus": (str, NONE)}, "the texts that a head's habits are measured on"
    ),
    "second": Action(partial(_set, "second"), {"second": (str, NONE)}, "the text that is patched from"),
    "take": Action(_take, {"id": NUMBER}, "take a token"),
    "back": Action(_back, {}, "one token back"),
    "go": Action(_go, {"node": (int, NONE)}, "to a branch of the tree"),
    "change": Action(_change, {"kind": TEXT, "value": TEXT}, "change the model"),
    "unchange": Action(_unchange, {"index": NUMBER}, "undo a change"),
}


def applied(state: ExploreState, event: Event, facts: ModelFacts) -> ExploreState:
    """The state after an event. Raises UsageError for one that is none, or that names what is not there.

    >>> from llminspect.analysis.explore.state import ExploreState
    >>> applied(ExploreState("A cat"), {"do": "take", "id": 7}, ModelFacts(1, 1, 10)).taken_ids()
    [7]
    """
    if not isinstance(event, Mapping) or not isinstance(event.get("do"), str) or event["do"] not in ACTIONS:
        raise UsageError(f"not an event: {as_json(event)}", f"events do one of {', '.join(ACTIONS)}")
    action, values = ACTIONS[event["do"]], {name: value for name, value in event.items() if name != "do"}
    if values.keys() != action.values.keys():
        raise UsageError(
            f"not an event: {as_json(event)}", f"{event['do']} takes {', '.join(action.values) or 'nothing'}"
        )
    for name, value in values.items():
        if not isinstance(value, action.values[name]) or (isinstance(value, bool) and bool not in action.values[name]):
            raise UsageError(f"{event['do']}: {name} = {as_json(value)} is not a value that it takes")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise UsageError(f"the {name} has more than {LONGEST_TEXT:,} characters")
    return action.apply(state, facts, **values)
