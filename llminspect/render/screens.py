"""What is longer than a screen, cut into screens that each have the heading: none scrolls it away; lines that end where
what is seen ends, so that what is copied or compared has no spaces at its ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment, Segments

from llminspect.render import theme
from llminspect.render.prose import Text

_LEAST = 5
"""Lines of the body that a screen has, however low it is."""
_FEWEST = 4
"""Lines of a block that go on to the next screen, if any do: a row and what is said below a table."""
_LED = 6
"""Lines of a command, and of what it shows, that are not yet enough of it to end a screen."""
_SHORT = 3
"""Lines of a block that is said of the one above it."""
_Line = list[Segment]


def heading(title: str) -> Text:
    """A title over a rule of its length."""
    made = Text(title, theme.TITLE)
    made.append("\n" + "─" * made.cell_len, theme.LINE)
    return made


def screens(
    title: str, body: RenderableType, console: Console, height: int, *, fills: bool = True
) -> list[RenderableType]:
    """The body below its heading, as many times as it takes for none to have more than `height` lines.

    A screen ends before an empty line where one is below its first third, a command stays with what it shows, and a
    table that goes on has its names once more. Of several, each says which it is. Each fills its lines, so that the
    heading comes to stand at the top; the last one only where it `fills`.
    """
    colors = console.color_system is not None and not console.no_color

    def drawn(rendering: RenderableType) -> list[_Line]:
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


def _parts(lines: Sequence[_Line], room: int) -> list[Sequence[_Line]]:
    parts = []
    while len(lines) > room:
        end = _end(lines, room)
        parts.append(lines[:end])
        names = _names(_block(lines, end)) if lines[end] else []
        lines = [*(names if len(names) <= room // 2 else []), *lines[end:]]
        while lines and not lines[0]:
            lines = lines[1:]
    return [*parts, lines]


def _end(lines: Sequence[_Line], room: int) -> int:
    """Where a screen ends: between two blocks, but not between a command and what it shows; else within a block, after
    its names of columns and a row at least, and some rows before its end."""
    between = [at for at in range(1, room + 1) if not lines[at] and not _leads(lines, at)]
    later = [at for at in between if at >= room // 3]
    if later:
        return next((at for at in later[::-1] if not _ends(lines, at)), later[-1])
    end = next((at for at in range(room, len(lines)) if not lines[at]), len(lines))
    block = _block(lines, end)
    start, last = end - len(block), min(room, end - _FEWEST)
    first = start + _rule(block) + 2
    rows = [at for at in range(first, last + 1) if _begins_row(block, at - start)]
    return rows[-1] if rows else between[-1] if between else room


def _block(lines: Sequence[_Line], end: int) -> Sequence[_Line]:
    """The lines above `end` up to an empty one."""
    start = next((at + 1 for at in range(end - 1, -1, -1) if not lines[at]), 0)
    return lines[start:end]


def _plain(line: _Line) -> str:
    return "".join(segment.text for segment in line)


def _leads(lines: Sequence[_Line], end: int) -> bool:
    """Whether above `end` stands a command with no more than the few lines with which begins what it shows."""
    starts = (at for at in range(end - 1, -1, -1) if _plain(lines[at]).startswith("$ ") and not (at and lines[at - 1]))
    start = next(starts, None)
    return start is not None and (end - start <= _LED or all(lines[start:end]))


def _ends(lines: Sequence[_Line], at: int) -> bool:
    """Whether the block below is a few lines, such as a key, that say something of what stands above them."""
    block = [_plain(line) for line in lines[at + 1 : at + _SHORT + 2]]
    return "" in [*block, ""][: _SHORT + 1] and not block[0].startswith("$ ")


def _rule(block: Sequence[_Line]) -> int:
    """The line below a table's names; -1 where there is none."""
    return next((at for at, line in enumerate(block) if line and not _plain(line).strip("─")), -1)


def _names(block: Sequence[_Line]) -> Sequence[_Line]:
    """The title and the names of the columns of a table that goes on, with the rule below them."""
    rule = first = _rule(block)
    while first > 0 and all(part.style and part.style.bold for part in block[first - 1] if part.text.strip()):
        first -= 1
    return block[first : rule + 1]


def _begins_row(block: Sequence[_Line], at: int) -> bool:
    """Whether a line has something in a table's first columns, as one that goes on with a row has not."""
    name = re.match(r"\s*\S+", _plain(block[_rule(block) - 1])) if _rule(block) > 0 else None
    return name is None or bool(_plain(block[at])[: name.end()].strip())


class Trimmed:
    """`rendering` without the spaces at the ends of its lines, but for those that are seen, on a colour."""

    def __init__(self, rendering: RenderableType) -> None:
        self._rendering = rendering

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colors = console.color_system is not None and not console.no_color
        for line in lines_of(self._rendering, console, options, colors=colors):
            yield from line
            yield Segment.line()


def lines_of(rendering: RenderableType, console: Console, options: ConsoleOptions, *, colors: bool) -> list[_Line]:
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
