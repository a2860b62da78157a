"""What is longer than a screen, cut into screens that each have the heading: none scrolls it away; lines that end where
what is seen ends, so that what is copied or compared has no spaces at its ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment, Segments
from rich.text import Text

from llminspect.render import theme

_LEAST = 5
"""Lines of the body that a screen has, however low it is."""


def heading(title: str) -> Text:
    """A title over a rule of its length."""
    made = Text(title, theme.TITLE)
    made.append("\n" + "─" * made.cell_len, theme.LINE)
    return made


def screens(
    title: str, body: RenderableType, console: Console, height: int, *, fills: bool = True
) -> list[RenderableType]:
    """The body below its heading, as many times as it takes for none to have more than `height` lines.

    A screen ends before an empty line where one is in its second half. Of several, each says which it is. Each fills
    its lines, so that the heading comes to stand at the top; the last one only where it `fills`.
    """
    colors = console.color_system is not None and not console.no_color

    def drawn(rendering: RenderableType) -> list[list[Segment]]:
        return lines_of(rendering, console, console.options, colors=colors)

    parts = _parts(drawn(body), max(_LEAST, height - len(drawn(heading(title))) - 1))
    shown = []
    for number, part in enumerate(parts, 1):
        which = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        lines = [*drawn(heading(title + which)), [], *part]
        if fills or number < len(parts):
            lines += [[]] * (height - len(lines))
        shown.append(Segments([segment for line in lines for segment in (*line, Segment.line())]))
    return list(shown)


def _parts(lines: Sequence[list[Segment]], room: int) -> list[Sequence[list[Segment]]]:
    parts = []
    while len(lines) > room:
        empty = [at for at in range(room // 2, room + 1) if not lines[at]]
        end = empty[-1] if empty else room
        parts.append(lines[:end])
        lines = lines[end:]
        while lines and not lines[0]:
            lines = lines[1:]
    return [*parts, lines]


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
    """The lines of a rendering, trimmed; without `colors` no space is seen. What is to be copied may be longer than the
    page is wide: a terminal breaks it, and copies it whole."""
    lines = list(map(list, Segment.split_lines(console.render(rendering, options))))
    for kept in lines:
        while kept:
            text, style, control = kept[-1]
            if control or (style is not None and (style.underline or style.reverse or (colors and style.bgcolor))):
                break
            kept.pop()
            if text := text.rstrip(" "):
                kept.append(Segment(text, style))
                break
    return lines
