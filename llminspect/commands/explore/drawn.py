"""What is on the screen of `explore`, and how it is drawn anew: only what changed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from textual.app import App, ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from llminspect.analysis.explore.events import LONGEST_TEXT
from llminspect.analysis.explore.session import Session
from llminspect.commands.explore.asking import Reached
from llminspect.commands.explore.look import CSS, tabs, use_colors
from llminspect.commands.explore.panes import ABOUT, Seen, pane_view
from llminspect.commands.explore.panes.heads import about, key
from llminspect.commands.explore.strip import token_line
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible

WIDE = 130
"""Columns from which on the next token is shown beside the other panes."""
ROWS_ABOVE = 1
"""Lines above the map of heads."""


class DrawnScreen(App[None]):
    """The text, its tokens, the panes; lines of the foot. What is shown is `shown`, of the session's state."""

    CSS = CSS

    def __init__(self, session: Session) -> None:
        use_colors()
        super().__init__()
        self.session = session
        self.shown = Reached(session.state, None, [])
        self.chosen = 0
        """The candidate, or the change, that is marked in the pane."""
        self.over: str | None = None
        """A text that is shown in place of the pane: the help, the command lines."""
        self.over_name = ""
        self.drawn: dict[str, Any] = {}
        """What the parts of the screen show, or what that was made of."""

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
        yield Static(id="key")
        with Horizontal(id="panes"):
            with VerticalScroll(id="body", can_focus=False):
                yield Static(id="pane")
            with VerticalScroll(id="side", can_focus=False):
                yield Static(id="aside")
        yield Static(id="status")
        yield Input(id="line", max_length=LONGEST_TEXT)

    def draw(self) -> None:
        state, shown = self.session.state, self.shown
        text = self.query_one("#text", Input)
        if not text.has_focus and text.value != visible(state.text):
            text.value = visible(state.text)
        if shown.prompt is not None:
            self.put("tokens", token_line(state, shown.prompt), grows=True)
        self.put("tabs", tabs(state.pane, len(state.changes), self.size.width))
        self.put("about", self._about())
        self._draw_key()
        whole = [shown.found, shown.prompt]
        if self._is_new(
            "pane", whole, replace(state, text=""), shown.state.pane, self._stopped(), self.chosen, self.over
        ):
            self.query_one("#pane", Static).update(self.pane())
        self._draw_side()
        if state.pane == "heads" and self.over is None:
            self._show_row(state.layer + ROWS_ABOVE)

    def put(self, where: str, line: Text, *, grows: bool = False) -> None:
        """Show a line unless it is there: laying the screen out anew takes longer than a token."""
        if self.drawn.get(where) != line:
            self.drawn[where] = line
            self.query_one(f"#{where}", Static).update(line, layout=grows)

    def _is_new(self, where: str, whole: Sequence[object], *values: object) -> bool:
        """Whether a part of the screen was made of something else; an answer is another where it is another object."""
        before, self.drawn[where] = self.drawn.get(where), (whole, values)
        return before is None or before[1] != values or any(map(operator.is_not, before[0], whole))

    def _about(self) -> Text:
        """What is shown, in a line; on the map of heads, the head that is chosen."""
        state, shown = self.session.state, self.shown
        text = Text(ABOUT[state.pane] if self.over is None else self.over_name)
        if state.pane == "heads" and self.over is None and shown.prompt is not None and shown.state.pane == "heads":
            text = about(Seen(self.session.model, state, shown.prompt, shown.found)) or text
        text.truncate(max(1, self.size.width - 2), overflow="ellipsis")
        return text

    def _draw_key(self) -> None:
        """What colours and letters of the map of heads mean; nothing over another pane."""
        state, shown = self.session.state, self.shown
        meant = None
        if state.pane == shown.state.pane == "heads" and shown.prompt is not None and self.over is None:
            meant = key(Seen(self.session.model, state, shown.prompt, shown.found))
        self.query_one("#key").display = meant is not None
        if meant is not None and self._is_new("key", [shown.found, shown.prompt], state.measure):
            self.query_one("#key", Static).update(meant)

    def _draw_side(self) -> None:
        """On a wide screen the next token stands beside every other pane."""
        wide, state = self.wide(), replace(self.session.state, pane="next")
        self.query_one("#side").set_class(wide, "wide")
        whole = [self.shown.side, self.shown.prompt]
        if wide and self.shown.prompt is not None and self._is_new("side", whole, replace(state, text="")):
            parts = pane_view(self.session.model, state, self.shown.prompt, self.shown.side)
            self.query_one("#aside", Static).update(Group(Text("next token", theme.TITLE), parts))

    def wide(self) -> bool:
        """Whether there is room for the next token beside the pane."""
        return self.size.width >= WIDE and self.session.state.pane != "next"

    def _show_row(self, row: int) -> None:
        """Scroll the pane as far as is needed for a row to be seen."""
        body = self.query_one("#body", VerticalScroll)
        top, rows = round(body.scroll_y), max(1, body.size.height)
        if row < top + 1:
            body.scroll_to(y=max(0, row - ROWS_ABOVE), animate=False)
        elif row >= top + rows - 1:
            body.scroll_to(y=row - rows + 2, animate=False)

    def _stopped(self) -> bool:
        return self.shown.done and self.shown.state == self.session.state and self.shown.error is not None

    def pane(self) -> RenderableType:
        """What the pane shows now."""
        state, shown = self.session.state, self.shown
        if self.over is not None:
            return Text(self.over)
        if shown.prompt is None or shown.state.pane != state.pane:
            return Text(
                "nothing to see: the line at the foot says why" if self._stopped() else "computing …", theme.QUIET
            )
        return pane_view(self.session.model, state, shown.prompt, shown.found, self.chosen)
