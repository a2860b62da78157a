"""Pictures of the screen of `explore`: sessions of docs/demos/, done on a screen of a size, drawn as --save draws."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rich.segment import Segment

from llminspect.analysis.explore.session import Session, read_session
from llminspect.commands.explore.app import Explorer
from llminspect.opening import open_model
from llminspect.render import picture
from tools.book.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rich.console import Console, ConsoleOptions

SIZE = (100, 30)
SESSION = ROOT / "docs" / "demos" / "france.json"
UNCHANGED = {"do": "unchange", "index": 0}
SCREENS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "explore-next.svg": [UNCHANGED, UNCHANGED, {"do": "pane", "pane": "next"}],
    "explore-heads.svg": [{"do": "pane", "pane": "heads"}],
    "explore-changes.svg": [],
}
"""A picture, and what is done for it after the session."""


class Strips:
    """Lines of a screen, as rich draws them."""

    def __init__(self, strips: Sequence[Sequence[Segment]]) -> None:
        self.strips = strips

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for strip in self.strips:
            yield from strip
            yield Segment.line()


def screens() -> dict[str, str]:
    """Each picture as SVG."""
    name, first, events = read_session(SESSION)
    model = open_model(name, offline=True)
    return {file: asyncio.run(_screen(Session(model, first, [*events, *more]))) for file, more in SCREENS.items()}


async def _screen(session: Session) -> str:
    app = Explorer(session)
    async with app.run_test(size=SIZE) as pilot:
        while not (app.shown.done and app.shown.state == session.state):
            await pilot.pause(0.01)
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        return picture.svg(Strips([list(strip) for strip in strips]), SIZE[0], "dark")
