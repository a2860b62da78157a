"""The app of `explore`: the screen, and what keys and clicks do on it."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.widgets import Input

from llminspect.commands.explore.doing import pointed_token
from llminspect.commands.explore.pressing import press, submitted
from llminspect.commands.explore.surface import Surface


class Explorer(Surface):
    """The screen with its keys, the line at the foot, and the mouse."""

    def action_press(self, action: str, key: str) -> None:
        press(self, action, key)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "text":
            self.set_focus(None)
        elif self.asks is not None:
            what = self.asks
            self.leave_line()
            submitted(self, what, event.value)

    def on_click(self, event: events.Click) -> None:
        """A token, a head, a candidate, a branch or a pane that is pointed at."""
        found: dict[str, Any] = event.style.meta
        if "token" in found:
            what = "key" if event.shift or event.button == 3 else "cursor"
            tokens = 1 if self.shown.prompt is None else len(self.shown.prompt.tokens)
            self.do(*pointed_token(tokens, what, found["token"]))
        elif "head" in found:
            layer, head = found["head"]
            same = (layer, head) == (self.session.state.layer, self.session.state.head)
            self.do({"do": "head", "layer": layer, "head": head}, *([{"do": "pane", "pane": "head"}] if same else []))
        elif "candidate" in found:
            self.chosen = found["candidate"]
            press(self, "enter", "enter")
        elif "node" in found:
            self.do({"do": "go", "node": found["node"]})
        elif "pane" in found:
            self.do({"do": "pane", "pane": found["pane"]})
