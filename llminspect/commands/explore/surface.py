"""The screen of `explore`: the text, its tokens, the panes, a line that says what goes on, a line to type in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from llminspect.analysis.explore.state import PANES
from llminspect.commands.explore.asking import Computing, Reached
from llminspect.commands.explore.keys import KEYS, QUESTIONS, help_text
from llminspect.commands.explore.panes import ABOUT, pane_view
from llminspect.commands.explore.strip import token_line
from llminspect.errors import UserError
from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from llminspect.analysis.explore.events import Event
    from llminspect.analysis.explore.session import Session

PATIENCE = 0.5
"""Seconds before a wait is spoken of."""


class Surface(App[None]):
    """Keys and clicks become events of the session; what its state wants is computed in a thread of its own."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layers: base above; }
    #text, #line { height: 1; border: none; padding: 0 1; background: $surface; }
    #text:focus, #line:focus { border: none; background: $boost; }
    #tokens { height: auto; max-height: 4; padding: 0 1; }
    #tabs, #about, #status { height: 1; padding: 0 1; }
    #about { text-style: italic; }
    #body { height: 1fr; padding: 0 1; }
    #line { display: none; }
    """
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
        super().__init__()
        self.session, self.path = session, path
        self.shown = Reached(session.state, None, [])
        self.chosen = 0
        """The candidate, or the change, that is marked in the pane."""
        self.asks: str | None = None
        """What the line at the foot is for."""
        self.over: str | None = None
        """A text that is shown in place of the pane: the help, the command lines."""
        self.word = ""
        self.computing = Computing(session, self._from_thread)

    def compose(self) -> ComposeResult:
        yield Input(self.session.state.text, id="text", placeholder="the text", tooltip="The text: i edits it")
        yield Static(id="tokens")
        yield Static(id="tabs")
        yield Static(id="about")
        with VerticalScroll(id="body", can_focus=True):
            yield Static(id="pane")
        yield Static(id="status")
        yield Input(id="line")

    def on_mount(self) -> None:
        self.query_one("#body").focus()
        self.computing.start()
        self.set_interval(0.25, self._status)
        self.follow()

    def on_unmount(self) -> None:
        self.computing.end()

    # From the thread that computes.

    def _from_thread(self, shown: Reached) -> None:
        if self.is_running:
            self.call_later(self._arrived, shown)

    def _arrived(self, shown: Reached) -> None:
        if shown.state != self.session.state:  # Stale: something was done since.
            return
        if shown.prompt is None:
            shown = Reached(shown.state, self.shown.prompt, self.shown.found, shown.error, shown.done)
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
            self.word = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
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
        self.asks, line.placeholder, line.display = what, QUESTIONS[what], True
        line.value = value
        line.tooltip = QUESTIONS[what]
        line.focus()
        self._status()

    def leave_line(self) -> None:
        """Back to the pane."""
        line = self.query_one("#line", Input)
        self.asks, line.display = None, False
        self.query_one("#body").focus()
        self._status()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "text" and event.value and event.input.has_focus:
            self.do({"do": "text", "text": event.value})

    # What is seen.

    def _draw(self) -> None:
        state, shown = self.session.state, self.shown
        text = self.query_one("#text", Input)
        if not text.has_focus and text.value != state.text:
            text.value = state.text
        if shown.prompt is not None:
            self.query_one("#tokens", Static).update(token_line(state, shown.prompt))
        self.query_one("#tabs", Static).update(_tabs(state.pane, len(state.changes)))
        self.query_one("#about", Static).update(Text(ABOUT[state.pane], no_wrap=True, overflow="ellipsis"))
        self.query_one("#pane", Static).update(self.pane())
        self._status()

    def pane(self) -> RenderableType:
        """What the pane shows now."""
        state, shown = self.session.state, self.shown
        if self.over is not None:
            return Text(self.over)
        if shown.prompt is None or shown.state.pane != state.pane:
            return Text("computing …", theme.QUIET)
        return pane_view(self.session.model, state, shown.prompt, shown.found, self.chosen)

    def _status(self) -> None:
        since, word = self.computing.since, self.word or self.shown.error or ""
        if since is not None and time.monotonic() - since > PATIENCE:
            layers = self.session.facts.layers
            word = (
                f"computing, layer {self.computing.layer()} of {layers}, {time.monotonic() - since:.0f} s; Esc stops it"
            )
        if self.asks is not None:
            word = QUESTIONS[self.asks]
        model = visible(self.session.model.name)
        shown = visible(word) or f"{model} · ? keys · i text · Tab pane · Enter take · u undo · q leave"
        self.query_one("#status", Static).update(Text(shown, theme.QUIET, no_wrap=True, overflow="ellipsis"))

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


def _tabs(pane: str, changes: int) -> Text:
    """The panes by their numbers; [ ] stand around the one that is open."""
    from rich.style import Style

    line = Text(no_wrap=True, overflow="crop")
    for number, name in enumerate(PANES, 1):
        counted = f"{name} {changes}" if name == "changes" and changes else name
        shown = f"[{number} {counted}]" if name == pane else f" {number} {counted} "
        line.append(shown, Style(bold=name == pane, reverse=name == pane) + Style.from_meta({"pane": name}))
    return line
