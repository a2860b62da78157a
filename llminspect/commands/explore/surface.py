"""The screen of `explore`: the text, its tokens, the panes, a line that says what goes on, a line to type in."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.console import Group
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from llminspect.analysis.explore.events import LONGEST_TEXT
from llminspect.cli.json_text import json_bytes
from llminspect.commands.explore.asking import Computing, Reached, problem_line
from llminspect.commands.explore.foot import foot_keys, foot_lines
from llminspect.commands.explore.keys import KEYS, QUESTIONS, help_text
from llminspect.commands.explore.look import CSS, tabs, use_colors
from llminspect.commands.explore.panes import ABOUT, Seen, pane_view
from llminspect.commands.explore.panes.heads import about
from llminspect.commands.explore.strip import token_line
from llminspect.errors import UserError
from llminspect.files.source import save_whole
from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.explore.events import Event
    from llminspect.analysis.explore.session import Session

WIDE = 130
"""Columns from which on the next token is shown beside the other panes."""
ROWS_ABOVE = 1
"""Lines above the map of heads."""
PATIENCE = 0.5
"""Seconds before a wait is spoken of."""


class Surface(App[None]):
    """Keys and clicks become events of the session; what its state wants is computed in a thread of its own."""

    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    CSS = CSS
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
        use_colors()
        super().__init__()
        self.session, self.path = session, path
        self.shown = Reached(session.state, None, [])
        self.chosen = 0
        """The candidate, or the change, that is marked in the pane."""
        self.asks: str | None = None
        """What the line at the foot is for."""
        self.path_to_write = Path()
        """What was to be written where a file is already."""
        self.over: str | None = None
        """A text that is shown in place of the pane: the help, the command lines."""
        self.lines: dict[str, Text] = {}
        """What the lines of the screen show."""
        self.word = ""
        self.computing = Computing(session, self._from_thread, self.wide, self._broken)

    def compose(self) -> ComposeResult:
        yield Input(
            visible(self.session.state.text),
            id="text",
            placeholder="the text",
            select_on_focus=False,
            max_length=LONGEST_TEXT,
        )
        yield Static(id="tokens")
        yield Static(id="tabs")
        yield Static(id="about")
        with Horizontal(id="panes"):
            with VerticalScroll(id="body", can_focus=False):
                yield Static(id="pane")
            with VerticalScroll(id="side", can_focus=False):
                yield Static(id="aside")
        yield Static(id="status")
        yield Input(id="line", max_length=LONGEST_TEXT)

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
        self._draw()

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
            self._draw()

    def follow(self) -> None:
        """Let what the state wants be computed; what is there is shown until then."""
        self._draw()
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

    # What is seen.

    def _draw(self) -> None:
        state, shown = self.session.state, self.shown
        text = self.query_one("#text", Input)
        if not text.has_focus and text.value != visible(state.text):
            text.value = visible(state.text)
        if shown.prompt is not None:
            self._put("tokens", token_line(state, shown.prompt), grows=True)
        self._put("tabs", tabs(state.pane, len(state.changes), self.size.width))
        self._put("about", self._about())
        self.query_one("#pane", Static).update(self.pane())
        self._draw_side()
        if state.pane == "heads" and self.over is None:
            self._show_row(state.layer + ROWS_ABOVE)
        self._status()

    def _put(self, where: str, line: Text, *, grows: bool = False) -> None:
        """Show a line unless it is there: laying the screen out anew takes longer than a token."""
        if self.lines.get(where) != line:
            self.lines[where] = line
            self.query_one(f"#{where}", Static).update(line, layout=grows)

    def _about(self) -> Text:
        """What the pane shows, in a line; on the map of heads, the head that is chosen."""
        state, shown = self.session.state, self.shown
        text = Text(ABOUT[state.pane])
        if state.pane == "heads" and shown.prompt is not None and shown.state.pane == "heads":
            text = about(Seen(self.session.model, state, shown.prompt, shown.found)) or text
        text.truncate(max(1, self.size.width - 2), overflow="ellipsis")
        return text

    def _draw_side(self) -> None:
        """On a wide screen the next token stands beside every other pane."""
        wide = self.wide()
        self.query_one("#side").set_class(wide, "wide")
        if wide and self.shown.prompt is not None:
            state = replace(self.session.state, pane="next")
            parts = pane_view(self.session.model, state, self.shown.prompt, self.shown.side)
            self.query_one("#aside", Static).update(Group(Text("next token", theme.TITLE), parts))

    def wide(self) -> bool:
        """Whether there is room for the next token beside the pane."""
        return self.size.width >= WIDE and self.session.state.pane != "next"

    def on_resize(self) -> None:
        self.follow()

    def _show_row(self, row: int) -> None:
        """Scroll the pane as far as is needed for a row to be seen."""
        body = self.query_one("#body", VerticalScroll)
        top, rows = round(body.scroll_y), max(1, body.size.height)
        if row < top + 1:
            body.scroll_to(y=max(0, row - ROWS_ABOVE), animate=False)
        elif row >= top + rows - 1:
            body.scroll_to(y=row - rows + 2, animate=False)

    def pane(self) -> RenderableType:
        """What the pane shows now."""
        state, shown = self.session.state, self.shown
        if self.over is not None:
            return Text(self.over)
        if shown.prompt is None or shown.state.pane != state.pane:
            stopped = shown.done and shown.state == state and shown.error is not None
            return Text("nothing to see: the line at the foot says why" if stopped else "computing …", theme.QUIET)
        return pane_view(self.session.model, state, shown.prompt, shown.found, self.chosen)

    def _status(self) -> None:
        """The line at the foot: a question, a refusal, how far a computation is, or the most useful keys. It grows to
        as many rows as it takes."""
        since, word = self.computing.since, self.word or self.shown.error or ""
        done = self.shown.done and self.shown.state == self.session.state
        if since is not None and not done and time.monotonic() - since > PATIENCE:
            layers = self.session.facts.layers
            word = (
                f"computing, layer {self.computing.layer()} of {layers}, {time.monotonic() - since:.0f} s; Esc stops it"
            )
        if self.asks is not None:
            word = QUESTIONS[self.asks]
        room = max(1, self.size.width - 2)
        shown = foot_lines(visible(word), room) or foot_keys(visible(self.session.model.name), room)
        self._put("status", Text(shown, theme.QUIET), grows=True)

    def say(self, text: str) -> None:
        """Show a text in place of the pane, until the next key."""
        self.over = text
        self._draw()

    def say_help(self) -> None:
        self.over = None if self.over is not None else help_text()
        self._draw()

    def do_nothing(self) -> None:
        """Draw once more, with the word that is to be said."""
        self._draw()
