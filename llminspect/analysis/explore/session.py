"""A session: a model, the state that it began with, and the events since. It is written as JSON and done once more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llminspect.analysis.explore.answers import answer, check_change, check_dictionary, check_length, prompt_of_state
from llminspect.analysis.explore.events import LONGEST_TEXT, MOST_EVENTS, Event, ModelFacts, applied
from llminspect.analysis.explore.questions import PaneQuestion, command_line, python_line, questions
from llminspect.analysis.explore.state import ExploreState, Pane
from llminspect.analysis.result import Result, Tokens, fields_of, token_documents
from llminspect.arguments.words import one_token
from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError, UsageError, UserError, as_json, reader
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

SCHEMA = 1
DICTIONARY = ("features", "features_at")
"""What a session may begin with beside a text."""
MOST_KEPT = 64
"""Answers that are kept, for who goes back and forth."""


@dataclass(frozen=True)
class Answer:
    """What one question of a pane came to."""

    pane: Pane
    command: str
    """The command line that gives the same."""
    python: str
    result: dict[str, Any] | None
    """The keys of that command's JSON."""
    error: str | None = None


@dataclass(frozen=True)
class ExploreResult(Result):
    """Where a session ends, and what is seen there."""

    text: str
    tokens: Tokens
    state: ExploreState
    position: int
    """The token that is looked at."""
    events: list[dict[str, Any]]
    answers: list[Answer]
    """Of the open pane."""


class Session:
    """What a person did with a model, and what follows from it. It knows no terminal."""

    def __init__(self, model: Model, first: ExploreState, events: list[Event] | None = None) -> None:
        sizes = model.config.sizes
        self.model, self.first = model, first
        self.facts = ModelFacts(sizes.L, sizes.H, sizes.V)
        check_length(model, first)
        check_dictionary(model, first)
        self.events: list[Event] = []
        self.state = first
        self._answers: OrderedDict[Any, Result] = OrderedDict()
        for number, event in enumerate(events or ()):
            try:
                self.do(event)
            except UserError as error:
                raise UserError(f"event {number} of the session: {error.message}", error.hint) from None

    def do(self, event: Event) -> None:
        """One more event. UsageError: it cannot be; all stays as it was."""
        if len(self.events) >= MOST_EVENTS:
            raise UsageError(f"a session has {MOST_EVENTS:,} events at most", "begin a new one")
        after = applied(self.state, event, self.facts)
        if event["do"] in ("text", "chat", "take"):
            check_length(self.model, after)
        if event["do"] == "change":
            check_change(self.model, after, event["kind"], event["value"])
        if event["do"] in ("target", "versus") and event[event["do"]] is not None:
            one_token(self.model, event[event["do"]], f"--{event['do']}")
        if after != self.state:
            self.state = after
            self.events.append(dict(event))

    def undo(self) -> bool:
        """As if the last event had not been; False where there is none."""
        if not self.events:
            return False
        *before, _ = self.events
        self.state = self.first
        for event in before:
            self.state = applied(self.state, event, self.facts)
        self.events = before
        return True

    def prompt(self, state: ExploreState | None = None) -> Prompt:
        """The tokens of the text and those that were taken. Raises UsageError as the commands do."""
        return prompt_of_state(self.model, state or self.state)

    def questions(self, pane: Pane | None = None) -> list[PaneQuestion]:
        """What a pane asks, the open one unless it is named."""
        return questions(self.model, self.state, len(self.prompt().tokens), pane)

    def answer(
        self,
        one: PaneQuestion,
        prompt: Prompt,
        state: ExploreState,
        progress: Callable[[int, int], object] | None = None,
    ) -> Result:
        """Its Result; one that was there before is not computed anew. `progress` is told the tokens of a corpus."""
        second = state.second if any(name == "patch" for name, _ in one.options) else None
        key = one, None if not one.reads_text else (tuple(prompt.ids), prompt.text, state.chat), second
        if key not in self._answers:
            self._answers[key] = answer(self.model, one, prompt, state, progress)
            while len(self._answers) > MOST_KEPT:
                self._answers.popitem(last=False)
        self._answers.move_to_end(key)
        return self._answers[key]

    def command_line(self, one: PaneQuestion) -> str:
        """What the shell would be given for the same numbers."""
        return command_line(one, self.prompt(), self.state, self.model.name)

    def python_line(self, one: PaneQuestion) -> str:
        """The same in Python."""
        return python_line(one, self.prompt(), self.state, self.model.name)

    def result(self) -> ExploreResult:
        """Where it stands, with all that the open pane shows; what cannot be answered says why."""
        prompt, answers = self.prompt(), []
        for one in self.questions():
            found: dict[str, Any] | None = None
            why = None
            try:
                found = fields_of(self.answer(one, prompt, self.state))
            except UserError as error:
                why = error.message
            lines = self.command_line(one), self.python_line(one)
            answers.append(Answer(self.state.pane, *lines, found, why))
        position = (
            len(prompt.tokens) - 1 if self.state.cursor is None else min(self.state.cursor, len(prompt.tokens) - 1)
        )
        events = [dict(event) for event in self.events]
        return ExploreResult(self.state.text, token_documents(prompt.tokens), self.state, position, events, answers)

    def document(self) -> dict[str, Any]:
        """What is written to the session's file."""
        start: dict[str, Any] = {"text": self.first.text, "chat": self.first.chat}
        start |= {name: value for name in DICTIONARY if (value := getattr(self.first, name)) is not None}
        return {"schema": SCHEMA, "session": "explore", "model": self.model.name, **start, "events": list(self.events)}


@reader("the session", UserError)
def read_session(path: Path) -> tuple[str, ExploreState, list[Event]]:
    """The model, the first state and the events of a session's file. Raises UserError for what is none."""
    from llminspect.files.source import read_json

    try:
        document = read_json(path)
    except ModelError as error:
        raise UserError(error.message, "explore --session FILE.json writes a session") from None
    schema = document.pop("schema", None)
    if document.pop("session", None) != "explore" or type(schema) is not int or schema != SCHEMA:
        raise UserError(f"{path.name!r:.100} is no session of explore", "explore --session FILE.json writes one")
    texts = {name: str for name in DICTIONARY if name in document}
    kinds = {**texts, "model": str, "text": str, "chat": bool, "events": list}
    unknown = sorted(document.keys() - kinds.keys())
    if unknown:
        raise UserError(
            f"{path.name!r:.100} has {as_json(unknown[0])}, which no session has", f"a session has {', '.join(kinds)}"
        )
    for name, kind in kinds.items():
        if not isinstance(document.get(name), kind):
            raise UserError(
                f"{path.name!r:.100}: {name} = {as_json(document.get(name))} is not a value that a session can have"
            )
    if len(document["events"]) > MOST_EVENTS:
        raise UserError(f"{path.name!r:.100} has more than {MOST_EVENTS:,} events")
    if not 0 < len(document["text"]) <= LONGEST_TEXT:
        raise UserError(f"{path.name!r:.100} begins with no text, or with more than {LONGEST_TEXT:,} characters")
    dictionary = {name: document[name] for name in texts}
    return document["model"], ExploreState(document["text"], document["chat"], **dictionary), document["events"]
