"""Pictures of the screen of `explore`: sessions of docs/demos/, done on a screen of a size, drawn as --save draws."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rich.segment import Segment

from llminspect.analysis.explore.session import Session, read_session
from llminspect.analysis.explore.state import ExploreState
from llminspect.commands.explore.app import Explorer
from llminspect.opening import open_model
from llminspect.render import picture
from tools.book.blocks import ROOT
from tools.book.movie import movie
from tools.book.schemes import in_both

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rich.console import Console, ConsoleOptions

SIZE = (100, 30)
SESSION = ROOT / "docs" / "demos" / "france.json"
UNCHANGED = {"do": "unchange", "index": 0}
SCREENS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "explore-next.svg": [UNCHANGED, UNCHANGED, {"do": "pane", "pane": "next"}],
    "explore-heads.svg": [UNCHANGED, UNCHANGED, {"do": "pane", "pane": "heads"}],
    "explore-changes.svg": [],
}
"""A picture, and what is done for it after the session."""
SMALL = (84, 20)
MOVIE: Sequence[Sequence[Mapping[str, Any]]] = [
    [],
    [{"do": "take", "id": 7042}],
    [{"do": "back"}, {"do": "target", "target": " Paris"}, {"do": "pane", "pane": "lens"}],
    [{"do": "head", "layer": 23, "head": 4}, {"do": "pane", "pane": "head"}],
    [{"do": "change", "kind": "ablate", "value": "23.4"}, {"do": "pane", "pane": "changes"}],
    [{"do": "change", "kind": "ablate", "value": "15.attention"}],
]
"""What is done in the moving picture, from screen to screen."""


class Strips:
    """Lines of a screen, as rich draws them."""

    def __init__(self, strips: Sequence[Sequence[Segment]]) -> None:
        self.strips = strips

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for strip in self.strips:
            yield from strip
            yield Segment.line()


def screens() -> dict[str, str]:
    """Each picture as SVG, dark and light."""
    name, first, events = read_session(SESSION)
    model = open_model(name, offline=True)
    found = {
        file: in_both(*asyncio.run(_screen(Session(model, first, [*events, *more])))) for file, more in SCREENS.items()
    }
    done = [[event for step in MOVIE[: number + 1] for event in step] for number in range(len(MOVIE))]
    drawings = [asyncio.run(_screen(Session(model, ExploreState(first.text), one), SMALL)) for one in done]
    return found | {"explore.svg": in_both(*map(movie, zip(*drawings, strict=True)))}


async def _screen(session: Session, size: tuple[int, int] = SIZE) -> list[str]:
    """The screen in both themes."""
    app = Explorer(session)
    async with app.run_test(size=size) as pilot:
        while not (app.shown.done and app.shown.state == session.state):
            await pilot.pause(0.01)
        drawn = []
        for theme in ("dark", "light"):
            app.theme = f"textual-{theme}"
            await pilot.pause()
            strips = [list(strip) for strip in app.screen._compositor.render_strips()]
            drawn.append(picture.svg(Strips(strips), size[0], theme))
        return drawn
