"""How a session looks where there is no terminal: where it stands, and the open pane as it would be seen."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType

from llminspect.analysis.explore.session import ExploreResult, Session
from llminspect.analysis.result import shown_text
from llminspect.core.numbers import several
from llminspect.errors import UserError
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, visible
from llminspect.render.theme import QUIET, TITLE


def render(result: ExploreResult, session: Session | None = None) -> RenderableType:
    """With its `session` what the open pane shows; else the command lines that give it."""
    return Group(*_parts(result, session))


def _parts(result: ExploreResult, session: Session | None) -> Iterator[RenderableType]:
    token = result.tokens[result.position]
    yield Text.assemble((f"explore: {result.state.pane}", TITLE))
    yield Text(f"{visible(result.text)}", QUIET)
    done = several(len(result.events), "event")
    yield Text(f"token {result.position} {quoted(shown_text(token))} of {len(result.tokens)}, after {done}", QUIET)
    for index, change in enumerate(result.state.changes):
        yield Text(f"change {index}: {change.kind} {visible(change.value)}")
    yield Text()
    if session is not None:
        from llminspect.commands.explore.panes import Seen, pane_view
        from llminspect.commands.explore.panes.heads import key

        prompt, state = session.prompt(), session.state
        found = []
        for one in session.questions():
            try:
                found.append((one, session.answer(one, prompt, state)))
            except UserError as error:
                yield Text(visible(error.message))
        yield pane_view(session.model, state, prompt, found)
        if state.pane == "heads" and (meant := key(Seen(session.model, state, prompt, found))) is not None:
            yield meant
    for answer in result.answers:
        yield Text(visible(answer.command), QUIET, no_wrap=True, overflow="ignore")  # To be pasted.
