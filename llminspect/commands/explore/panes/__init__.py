"""The panes of `explore`, a file each: what a question's Result looks like, by the commands' own views."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from llminspect.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.analysis.explore.questions import PaneQuestion
    from llminspect.analysis.explore.state import ExploreState, Pane
    from llminspect.analysis.result import Result
    from llminspect.model.opened import Model
    from llminspect.text.prompt import Prompt

ABOUT: dict[Pane, str] = {
    "next": "What the model would say next: Enter takes a token, Backspace goes back",
    "tokens": "How the text is cut, and how other tokenizers cut it: o chooses them",
    "heads": "All heads, layers down: arrows move, Enter opens one, Space silences it",
    "head": "One head: what it looks at, the sum by hand, what it writes; b: over texts",
    "lens": "What the model would say after each layer, and where the target stands",
    "changes": "What was changed in the model, and what each change does to the answer",
    "features": "What is on at the chosen token: arrows choose, Space silences, + and - scale",
}
"""What a pane shows, in one line."""


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
