"""From a key, or a line that was typed, to events: what a person means in the pane that is open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llminspect.analysis.explore.questions import place
from llminspect.analysis.explore.state import MEASURES, PANES, ChangeKind, ExploreState
from llminspect.arguments.words import parse_factor
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.analysis.explore.events import Event
    from llminspect.analysis.explore.session import Session

OF_HEADS = ("heads", "head")


def moved_head(session: Session, layers: int, heads: int) -> list[Event]:
    """So many layers down and heads to the right, as far as there are any."""
    state, facts = session.state, session.facts
    layer = min(max(0, state.layer + layers), facts.layers - 1)
    head = min(max(0, state.head + heads), max(1, facts.heads) - 1)
    return [{"do": "head", "layer": layer, "head": head}]


def moved_token(state: ExploreState, tokens: int, what: str, steps: int) -> list[Event]:
    """`cursor` or `key` so many tokens to the right; beyond the last the cursor follows the text's end."""
    at, key = place(state, tokens)
    if what == "cursor":
        return pointed_token(tokens, what, max(0, at + steps))
    index = (at if key is None else key) + steps
    return [{"do": "key", "index": index if 0 <= index < tokens else None}]


def pointed_token(tokens: int, what: str, index: int) -> list[Event]:
    """That token as `cursor` or `key`; a cursor on the last one follows the text's end."""
    return [{"do": what, "index": None if what == "cursor" and index >= tokens - 1 else index}]


def next_pane(state: ExploreState) -> list[Event]:
    return [{"do": "pane", "pane": PANES[(PANES.index(state.pane) + 1) % len(PANES)]}]


def next_measure(state: ExploreState) -> list[Event]:
    measures = MEASURES if state.key is not None else [one for one in MEASURES if one != "excess"]
    at = list(measures).index(state.measure) if state.measure in measures else -1
    return [{"do": "measure", "measure": measures[(at + 1) % len(measures)]}]


def toggled(state: ExploreState, kind: ChangeKind, value: str) -> list[Event]:
    """The change, or without it where it is there."""
    for index, change in enumerate(state.changes):
        if (change.kind, change.value) == (kind, value):
            return [{"do": "unchange", "index": index}]
    return [{"do": "change", "kind": kind, "value": value}]


def scaled(state: ExploreState, name: str, factor: float) -> list[Event]:
    """A head or a feature by so much more or less than now; a factor of 1 is no change."""
    for index, change in enumerate(state.changes):
        where, _, times = change.value.rpartition("*")
        if change.kind == "scale" and where == name:
            factor *= parse_factor(times) or 1.0
            events: list[Event] = [{"do": "unchange", "index": index}]
            return events if factor == 1 else [*events, _scale(name, factor)]
    return [_scale(name, factor)]


def _scale(name: str, factor: float) -> Event:
    return {"do": "change", "kind": "scale", "value": f"{name}*{factor:g}"}


def next_branch(state: ExploreState) -> list[Event]:
    """Where the text ends, one further in the order in which tokens were taken; after the last at the text itself."""
    if not state.taken:
        return []
    after = 0 if state.at is None else state.at + 1
    return [{"do": "go", "node": after if after < len(state.taken) else None}]


def parsed_knobs(text: str) -> Event:
    """`temperature=0.8 top_k=40` as an event. UsageError: it does not say so."""
    values: dict[str, Any] = dict.fromkeys(("temperature", "top_k", "top_p", "min_p"))
    for word in text.replace(",", " ").split():
        name, equals, number = word.replace("-", "_", 1).partition("=")
        value = parse_factor(number) if equals else None
        if name not in values or value is None:
            raise UsageError(
                f"{word[:40]!r} is not one of the settings", "temperature=0.8 top_k=40 top_p=0.9 min_p=0.05"
            )
        values[name] = int(value) if name == "top_k" and value == int(value) else value
    return {"do": "knobs", **values}


def typed(what: str, text: str) -> Event:
    """The event of a line that was typed at the foot."""
    if what == "knobs":
        return parsed_knobs(text)
    if what == "corpus":
        return {"do": what, what: str(Path(text.strip()).expanduser()) if text.strip() else None}
    if what in ("target", "versus", "second", "beside"):
        return {"do": what, what: text or None}
    kinds = {"silence_neuron": "ablate", "patch": "patch", "steer": "steer"}
    if not text.strip():
        raise UsageError("nothing was given")
    return {"do": "change", "kind": kinds[what], "value": text.strip()}
