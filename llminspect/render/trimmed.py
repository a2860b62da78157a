"""A rendering whose lines end where what is seen ends, so that what is copied or compared has no spaces at its ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult


class Trimmed:
    """`rendering` without the spaces at the ends of its lines, but for those that are seen, on a colour."""

    def __init__(self, rendering: RenderableType) -> None:
        self._rendering = rendering

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colors = console.color_system is not None and not console.no_color
        for line in lines_of(self._rendering, console, options, colors=colors):
            yield from line
            yield Segment.line()


def lines_of(
    rendering: RenderableType, console: Console, options: ConsoleOptions, *, colors: bool
) -> list[list[Segment]]:
    """The lines of a rendering, trimmed; without `colors` no space is seen."""
    return [_trimmed(line, colors) for line in console.render_lines(rendering, options, pad=False)]


def _trimmed(line: Sequence[Segment], colors: bool) -> list[Segment]:
    kept = list(line)
    while kept:
        text, style, control = kept[-1]
        if control or (style is not None and (style.underline or style.reverse or (colors and style.bgcolor))):
            break
        kept.pop()
        if text := text.rstrip(" "):
            return [*kept, Segment(text, style)]
    return kept
