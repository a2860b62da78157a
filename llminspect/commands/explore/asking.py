"""The thread that computes: the newest wish alone, told step by step, and stopped where another comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING

from llminspect.analysis.explore.kept import KeptModel, Stopped
from llminspect.analysis.explore.questions import PaneQuestion, questions
from llminspect.analysis.explore.state import ExploreState
from llminspect.analysis.result import Result
from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.explore.session import Session


def problem_line(problem: UserError) -> str:
    """An error and what to try, on a line."""
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


@dataclass(frozen=True)
class Reached:
    """What is known of a state so far."""

    state: ExploreState
    prompt: Prompt | None
    found: list[tuple[PaneQuestion, Result]]
    """Of the open pane."""
    side: list[tuple[PaneQuestion, Result]] = field(default_factory=list)
    """Of the next token, where it stands beside the pane."""
    error: str | None = None
    done: bool = False


class Computing:
    """`wish(state)` from any thread; `tell` is called from the one that computes, and stale answers are dropped."""

    def __init__(
        self,
        session: Session,
        tell: Callable[[Reached], object],
        wide: Callable[[], bool],
        broke: Callable[[Exception], object],
    ) -> None:
        self.session, self.tell, self.wide, self.broke = session, tell, wide, broke
        self.wished: ExploreState | None = None
        self.since: float | None = None
        """When what is computed was begun; None: nothing is."""
        self.read: tuple[int, int] | None = None
        """Of a corpus that is being read, the tokens so far and those that will be."""
        self._changed, self._ended = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, daemon=True, name="explore")

    def start(self) -> None:
        self._thread.start()

    def wish(self, state: ExploreState) -> None:
        """Compute this, in place of whatever was wished before."""
        with self._changed:
            self.wished = state
            self._stop()
            self._changed.notify()

    def cancel(self) -> None:
        """Compute nothing until the next wish."""
        with self._changed:
            self.wished = None
            self._stop()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._stop()
            self._changed.notify()
        self._thread.join(5)

    def reached(self) -> str:
        """How far that came: the layer that the pass is in, or the tokens of a corpus."""
        if self.read is not None:
            return "{:,} of {:,} tokens".format(*self.read)
        model = self.session.model
        return f"layer {model.layers[0] if isinstance(model, KeptModel) else 0} of {self.session.facts.layers}"

    def _reading(self, done: int, most: int) -> None:
        if self._is_stale():
            raise Stopped
        self.read = done, most

    def _is_stale(self) -> bool:
        return self.wished is not None or self._ended

    def _stop(self) -> None:
        if isinstance(self.session.model, KeptModel):
            self.session.model.flag.set()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self.wished is not None)
                if self._ended:
                    return
                state, self.wished = self.wished, None
                assert state is not None
                self.since = time.monotonic()
                if isinstance(self.session.model, KeptModel):
                    self.session.model.flag.clear()
            try:
                self._answer(state)
            except Stopped:
                if self.wished is None and not self._ended:
                    self._tell(Reached(state, None, [], error="stopped", done=True))
            except Exception as problem:  # A fault of ours: the screen ends with it, and does not wait for ever.
                self._ended = True
                self.broke(problem)
                return
            finally:
                self.since = self.read = None

    def _answer(self, state: ExploreState) -> None:
        reached = Reached(state, None, [])
        try:
            prompt = self.session.prompt(state)
            reached = replace(reached, prompt=prompt)
            model, tokens = self.session.model, len(prompt.tokens)
            side = questions(model, state, tokens, "next") if self.wide() else []
            # The next token before all else, and what is said of a target after the pane.
            pane = questions(model, state, tokens)
            parts = (("side", side[:1]), ("found", pane), ("side", side[1:]))
            wanted = [(where, one) for where, several in parts for one in several]
            for number, (where, one) in enumerate(wanted, 1):
                if self._is_stale():
                    raise Stopped
                try:
                    answered = one, self.session.answer(one, prompt, state, self._reading)
                    reached = replace(reached, **{where: [*getattr(reached, where), answered]})  # type: ignore[arg-type]
                except UserError as problem:
                    reached = replace(reached, error=problem_line(problem))
                if number < len(wanted):
                    self._tell(reached)
        except UserError as problem:
            reached = replace(reached, error=problem_line(problem))
        self._tell(replace(reached, done=True))

    def _tell(self, shown: Reached) -> None:
        if not self._is_stale():
            self.tell(shown)
