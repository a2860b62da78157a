"""What is drawn only when the console is known, so that it adapts to its width and its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.text import Text

from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.segment import Segment


class Drawn:
    """`title`, and below it what `draw` gives; in a table it takes from `least` cells to all there are."""

    def __init__(
        self,
        draw: Callable[[Console, ConsoleOptions], Iterable[RenderableType | Segment]],
        *,
        title: str = "",
        least: int = 0,
    ) -> None:
        self.draw, self.title, self.least = draw, title, least

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(self.least, options.max_width), options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(visible(self.title), theme.TITLE)
        yield from self.draw(console, options)
