"""What each pane shows: questions to the commands, with the options that the command line would have.

So what is seen can be had again, and no number is computed in two ways."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from llminspect.analysis.attribution import neuron_fault
from llminspect.arguments.features import names_feature
from llminspect.core.dataclass import dataclass
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.explore.state import ExploreState, Pane

BESIDE = "o200k_base"
"""The tokenizer that the model's own is compared with."""
NEURONS = 8
"""Those that are shown that write to the target."""
MOST_READ = 2048
"""Tokens of a corpus that a head's habits are measured on: a few seconds, not a minute."""
FEATURES = 20
"""Those that are listed that are on at a token."""
ALTERNATIVES = 11
"""Beside the most probable token, so that twelve are shown."""


@dataclass(frozen=True)
class PaneQuestion:
    """A command and its options by their names in Python."""

    command: str
    options: tuple[tuple[str, Any], ...] = ()
    name: str | None = None
    """What stands in the text's place, the head of `head`, or before it, the dictionary of `features`."""

    @property
    def reads_text(self) -> bool:
        return self.command != "head"


def question(command: str, *, name: str | None = None, **options: Any) -> PaneQuestion:
    """Of the options those that are given."""
    given = {key: value for key, value in options.items() if value is not None and value is not False and value != ()}
    return PaneQuestion(command, tuple(given.items()), name)


def place(state: ExploreState, tokens: int) -> tuple[int, int | None]:
    """The token that is looked at, and the one that it looks at, of so many."""
    last = tokens - 1
    return last if state.cursor is None else min(state.cursor, last), None if state.key is None else min(
        state.key, last
    )


def questions(model: Model, state: ExploreState, tokens: int, pane: Pane | None = None) -> list[PaneQuestion]:
    """What a pane asks, with the text of so many tokens; without `pane` the one that is open."""
    makers = {
        "next": _next, "tokens": _tokens, "heads": _heads, "head": _head, "lens": _lens, "changes": _changes,
        "features": _features,
    }  # fmt: skip
    return makers[pane or state.pane](model, state, tokens)


def experiments(state: ExploreState, only: int | None = None) -> dict[str, Any]:
    """The options of the changes, or of one of them."""
    chosen = state.changes if only is None else state.changes[only : only + 1]
    found: dict[str, Any] = {
        kind: tuple(each.value for each in chosen if each.kind == kind) for kind in ("ablate", "scale", "steer")
    }
    into = tuple(each.value for each in chosen if each.kind == "patch")
    if any(names_feature(each.value) for each in chosen):
        found |= {"features": state.features, "features_at": state.features_at}
    return {**found, "into": into, "patch": state.second if into else None}


def before_and_after(model: Model, state: ExploreState) -> list[dict[str, Any]]:
    """The options of no change, and then of all of them, where there are any that reach the attention."""
    changes = {} if model.can("source") else {name: value for name, value in experiments(state).items() if value}
    return [{}, changes] if changes else [{}]


def _next(model: Model, state: ExploreState, tokens: int) -> list[PaneQuestion]:
    if not model.can("generate") or model.can("source"):
        return [question("forward", **experiments(state))]
    position = place(state, tokens)[0]
    if position < tokens - 1:  # What was said there, though the text goes on.
        return [
            question("forward", at=position, top=ALTERNATIVES + 1, **experiments(state)),
            *_in_question(state, position),
        ]
    knobs = {field.name: getattr(state.knobs, field.name) for field in fields(state.knobs)}
    seed = 0 if any(value is not None for value in knobs.values()) else None
    written: dict[str, Any] = {
        "max_tokens": 1,
        "ignore_eos": True,
        "alternatives": ALTERNATIVES,
        "steps": seed is not None,
    }
    return [question("generate", **written, **knobs, seed=seed, **experiments(state)), *_in_question(state, position)]


def _in_question(state: ExploreState, position: int) -> list[PaneQuestion]:
    """How probable the target is, and what it is compared with."""
    tokens = [token for token in (state.target, state.versus) if token is not None]
    return [question("forward", at=position, target=token, **experiments(state)) for token in tokens]


def _tokens(model: Model, state: ExploreState, tokens: int) -> list[PaneQuestion]:
    beside = not state.chat and model.tokenizer is not None
    return [
        question("tokenize"),
        *([question("tokenize", compare=(model.name, *(state.beside or BESIDE).split()))] if beside else []),
    ]


def _heads(model: Model, state: ExploreState, tokens: int) -> list[PaneQuestion]:
    position, key = place(state, tokens)
    if state.measure == "attribution":
        look: dict[str, Any] = {"attribution": True, "at": position, "target": state.target, "versus": state.versus}
        return [question("forward", **look, **changes) for changes in before_and_after(model, state)]
    look = {"find": f"{position}->{0 if key is None else key}"} if state.measure == "excess" else {}
    look = look or {"measure": state.measure}
    return [question("attend", **look, **changes) for changes in before_and_after(model, state)]


def _head(model: Model, state: ExploreState, tokens: int) -> list[PaneQuestion]:
    one: dict[str, Any] = {"layer": str(state.layer), "head": str(state.head)}
    position, both = place(state, tokens)[0], before_and_after(model, state)
    found = [question("attend", **one, **changes) for changes in both]
    found.append(question("attend", **one, query=str(position), **both[-1]))
    if model.can("generate"):
        name = f"{state.layer}.{state.head}"
        found.append(question("head", name=name))
        found += [question("head", name=name, corpus=state.corpus, most=MOST_READ)] if state.corpus else []
    return found


def _lens(model: Model, state: ExploreState, tokens: int) -> list[PaneQuestion]:
    look: dict[str, Any] = {"at": place(state, tokens)[0], "target": state.target, **experiments(state)}
    found = [question("forward", lens=True, all=True, **look)]
    if model.can("generate") and not model.can("source") and neuron_fault(model) is None:
        found.append(question("forward", attribution=True, neurons=NEURONS, **look, versus=state.versus))
    return found


def _changes(model: Model, state: ExploreState, tokens: int) -> list[PaneQuestion]:
    if not state.changes:
        return []
    look: dict[str, Any] = {"at": place(state, tokens)[0], "target": state.target}
    alone = range(len(state.changes)) if len(state.changes) > 1 else ()
    every = [experiments(state), *(experiments(state, index) for index in alone)]
    return [question("forward", **look, **options) for options in every]


def _features(model: Model, state: ExploreState, tokens: int) -> list[PaneQuestion]:
    if state.features is None:
        return []
    at: dict[str, Any] = {"position": str(place(state, tokens)[0]), "top": FEATURES, "at": state.features_at}
    return [question("features", name=state.features, **at), *_changes(model, state, tokens)[:1]]


def groups_of(one: PaneQuestion, *kinds: Any) -> list[Any]:
    """The options as the dataclasses of the command, each with those that are its own."""
    values = dict(one.options)
    return [
        kind(**{field.name: values[field.name] for field in fields(kind) if field.name in values}) for kind in kinds
    ]


def command_line(one: PaneQuestion, prompt: Prompt, state: ExploreState, model: str) -> str:
    """What the shell would be given for the same numbers."""
    words = ["llminspect", one.command, *([] if one.name is None else [one.name])]
    given = _input(prompt, state) if one.reads_text else []
    last = bool(given) and given[0].startswith("-") and len(given) == 1  # A text that would be taken for an option.
    words += [] if last else given
    for name, value in one.options:
        flag = f"--{name.replace('_', '-')}"
        several = value if isinstance(value, tuple) else (value,)
        words += [flag] if value is True else [word for each in several for word in (flag, str(each))]
    return shlex.join([*words, "--model", model, *(["--", *given] if last else [])])


def _input(prompt: Prompt, state: ExploreState) -> list[str]:
    if prompt.text in (None, "-"):
        return ["--ids", ",".join(map(str, prompt.ids))]
    return ["--user", state.text] if state.chat else [str(prompt.text)]


def python_line(one: PaneQuestion, prompt: Prompt, state: ExploreState, model: str) -> str:
    """The same in Python."""
    options: Mapping[str, Any] = dict(one.options)
    text: str | Sequence[int] = prompt.text if prompt.text is not None else prompt.ids
    what = [repr(one.name)] * (one.name is not None) + [repr(text)] * one.reads_text
    chat = {"chat": True} if state.chat and one.reads_text and prompt.text is not None else {}
    written = [
        f"{name}={list(value) if isinstance(value, tuple) else value!r}" for name, value in {**chat, **options}.items()
    ]
    return f"llminspect.{one.command}({', '.join([*what, f'model={model!r}', *written])})"
