"""The panes of `explore`, a file each: what a question's Result looks like, by the commands' own views."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from llminspect.analysis.result import Result
from llminspect.core.dataclass import dataclass
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.explore.questions import PaneQuestion
    from llminspect.analysis.explore.state import ExploreState, Pane
    from llminspect.model.opened import Model

ABOUT: dict[Pane, str] = {
    "next": "The next token: Enter takes one, Backspace goes back",
    "tokens": "How this and other tokenizers cut the text: o chooses them",
    "heads": "All heads: arrows move, Enter opens one, Space silences it",
    "head": "One head: where it looks, what it writes; b: its habits",
    "lens": "The next token after each layer, and the target among all",
    "changes": "What was changed, and what each change does to the answer",
    "features": "What is on at the token: Space silences, + and - scale",
}
"""What a pane shows, in one line of 60 columns."""


@dataclass(frozen=True)
class Seen:
    """What a pane draws: the state, the text, the questions answered so far, and what is chosen in the pane."""

    model: Model
    state: ExploreState
    prompt: Prompt
    found: Sequence[tuple[PaneQuestion, Result]]
    chosen: int = 0


def pane_view(
    model: Model, state: ExploreState, prompt: Prompt, found: Sequence[tuple[PaneQuestion, Result]], chosen: int = 0
) -> RenderableType:
    """The open pane."""
    draw = import_module(f"llminspect.commands.explore.panes.{state.pane}").view
    rendering: RenderableType = draw(Seen(model, state, prompt, found, chosen))
    return rendering
