"""The screen of `explore`: the text, its tokens, the panes, a line that says what goes on, a line to type in."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input

from llminspect.analysis.explore.events import Event
from llminspect.analysis.explore.session import Session
from llminspect.cli.json_text import json_bytes
from llminspect.commands.explore.asking import Computing, Reached, problem_line
from llminspect.commands.explore.drawn import DrawnScreen
from llminspect.commands.explore.foot import foot_keys, foot_lines
from llminspect.commands.explore.keys import KEYS, QUESTIONS, help_text
from llminspect.errors import UserError
from llminspect.files.source import save_whole
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible

HELP = "The keys: ? goes back"
PATIENCE = 0.5
"""Seconds before a wait is spoken of."""


class Surface(DrawnScreen):
    """Keys and clicks become events of the session; what its state wants is computed in a thread of its own."""

    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, f"press('{action}', '{key}')", show=False)
            for keys, action, _ in KEYS
            if action != "enter"
            for key in keys.split(",")
        ),
        Binding("enter", "press('enter', 'enter')", show=False),
        Binding("tab", "press('tab', 'tab')", show=False, priority=True),
    ]

    def __init__(self, session: Session, path: Path | None = None) -> None:
        super().__init__(session)
        self.path = path
        self.asks: str | None = None
        """What the line at the foot is for."""
        self.path_to_write = Path()
        """What was to be written where a file is already."""
        self.word, self._was_wide = "", False
        self.computing = Computing(session, self._from_thread, self.wide, self._broken)

    def keep(self) -> None:
        """Write the session's file, where it has one. Raises UserError where that cannot be written."""
        if self.path is not None:
            save_whole(self.path, json_bytes(self.session.document(), None))

    def _ended(self, number: int) -> None:
        """Ended from outside, or without its terminal: what was done is kept, and the terminal given back."""
        with suppress(UserError):
            self.keep()
        self.exit(return_code=128 + number)

    def on_mount(self) -> None:
        for name in ("SIGTERM", "SIGHUP"):
            with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):  # Windows; a test's thread.
                number = getattr(signal, name)
                asyncio.get_running_loop().add_signal_handler(number, self._ended, number)
        self.set_focus(None)
        self.computing.start()
        self.set_interval(0.25, self._status)
        self.follow()

    def on_unmount(self) -> None:
        self.computing.end()

    # From the thread that computes.

    def _from_thread(self, shown: Reached) -> None:
        if self.is_running:
            self.call_later(self._arrived, shown)

    def _broken(self, problem: Exception) -> None:
        def end() -> None:
            with suppress(UserError):
                self.keep()
            raise problem

        if self.is_running:
            self.call_later(end)

    def _arrived(self, shown: Reached) -> None:
        if shown.state != self.session.state:  # Stale: something was done since.
            return
        if shown.prompt is None:
            found = self.shown.found if self.shown.state.pane == shown.state.pane else []
            shown = replace(self.shown, state=shown.state, found=found, error=shown.error, done=shown.done)
        if not shown.side:
            shown = replace(shown, side=self.shown.side)
        self.shown = shown
        self.draw()

    # What is done.

    def do(self, *events: Event) -> None:
        """Events of the session, and what follows from them. What cannot be is said in the line at the foot."""
        before, pane = self.session.state, self.session.state.pane
        self.word, self.over = "", None
        try:
            for event in events:
                self.session.do(event)
        except UserError as error:
            self.word = problem_line(error)
        if self.session.state.pane != pane:
            self.query_one("#body", VerticalScroll).scroll_home(animate=False)
        if self.session.state != before:
            if self.session.state.way() != before.way() or self.session.state.pane != pane:
                self.chosen = 0
            self.follow()
        else:
            self.draw()

    def follow(self) -> None:
        """Let what the state wants be computed; what is there is shown until then."""
        self.draw()
        self._was_wide = self.wide()
        self.computing.wish(self.session.state)

    def ask(self, what: str, value: str = "") -> None:
        """Let a line be typed at the foot."""
        line = self.query_one("#line", Input)
        self.asks, line.display = what, True
        line.value = value
        line.tooltip = QUESTIONS[what]
        line.focus()
        self._status()

    def leave_line(self) -> None:
        """Back to the pane."""
        line = self.query_one("#line", Input)
        self.asks, line.display = None, False
        self.set_focus(None)
        self._status()

    def on_input_changed(self, event: Input.Changed) -> None:
        # What a terminal would obey, or hide, may be pasted: it is left out before it is drawn.
        harmless = "".join(one for one in event.value if visible(f"x{one}") == f"x{one}")
        if harmless != event.value:
            event.input.value = harmless
        elif event.input.id == "text" and event.input.has_focus and event.value not in ("", self.session.state.text):
            self.do({"do": "text", "text": event.value})
            if self.session.state.text != event.value:  # Refused: the foot says why, and the text is as it was.
                event.input.value = self.session.state.text

    def draw(self) -> None:
        super().draw()
        self._status()

    def on_resize(self) -> None:
        if self.wide() and not self._was_wide:
            self.follow()
        else:
            self.draw()

    def _status(self) -> None:
        """The line at the foot: a question, a refusal, how far a computation is, or the most useful keys. It grows to
        as many rows as it takes."""
        since, word = self.computing.since, self.word or self.shown.error or ""
        done = self.shown.done and self.shown.state == self.session.state
        if since is not None and not done and time.monotonic() - since > PATIENCE:
            word = f"computing, {self.computing.reached()}, {time.monotonic() - since:.0f} s; Esc stops it"
        if self.asks is not None:
            word = QUESTIONS[self.asks]
        room = max(1, self.size.width - 2)
        shown = foot_lines(visible(word), room) or foot_keys(visible(self.session.model.name), room)
        self.put("status", Text(shown, theme.QUIET), grows=True)

    def say(self, name: str, text: str) -> None:
        """Show a text and its name in place of the pane, until the next key."""
        self.over, self.over_name = text, name
        self.query_one("#body", VerticalScroll).scroll_home(animate=False)
        self.draw()

    def say_help(self) -> None:
        room = max(20, self.query_one("#body", VerticalScroll).size.width - 2)
        if self.over is not None and self.over_name == HELP:
            self.over = None
            self.draw()
        else:
            self.say(HELP, help_text(room))

    def do_nothing(self) -> None:
        """Draw once more, with the word that is to be said."""
        self.draw()
