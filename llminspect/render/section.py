"""The parts of a page: what adapts to its width, titles and remarks, two side by side, a calculation by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import ParamSpec

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table

from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible

P = ParamSpec("P")
_GAP = 4
"""Cells between two parts side by side."""
_RIGHT = 60
"""Cells that what stands to the right has at least."""


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


def section(title: str, *body: RenderableType, note: str = "") -> Group:
    """A title above and a quiet note below; either may be empty."""
    above = [headed(title)] if title else []
    below = [remark(note)] if note else []
    return Group(*above, *body, *below)


def headed(title: str, rest: str = "") -> Drawn:
    """A title, with what it is about on the same line, or below where that is too short for both."""

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        name, about = visible(title), visible(rest)
        line = f"{name}  {about}" if about else name
        if cell_len(line) <= options.max_width:
            yield Text.assemble((name, theme.TITLE), (line[len(name) :], theme.QUIET))
            return
        yield Text(name, theme.TITLE)
        if about:
            yield Text(about, theme.QUIET)

    return Drawn(draw)


def remark(text: str, signs: Mapping[str, Style] | None = None) -> Drawn:
    """A quiet note as wide as the page; `signs` that it explains have the colours that they have in the picture."""

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        note = Text(" ".join(visible(text).split()), theme.QUIET)
        for sign, style in (signs or {}).items():
            note.highlight_regex(re.escape(sign), style)
        yield note

    return Drawn(draw)


def facts(parts: Sequence[str], *, strong: int = 0) -> Drawn:
    """Short facts with · between them; a line ends between two. The first `strong` characters stand out."""

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        shown = [visible(part) for part in parts]
        line = Text("\n".join(_wrapped([*(f"{part} ·" for part in shown[:-1]), *shown[-1:]], options.max_width)))
        line.stylize(theme.STRONG, 0, strong)
        yield line

    return Drawn(draw)


def _wrapped(units: Sequence[str], cells: int) -> list[str]:
    """Lines of so many cells: a unit is broken only where it is longer than a line."""
    lines, line = [], ""
    for words in units:
        longer = f"{line} {words}" if line else words
        if line and cell_len(longer) > cells:
            lines.append(line)
            longer = words
        line = longer
    return [*lines, line]


def paged(parts: Callable[P, Iterable[RenderableType]]) -> Callable[P, Group]:
    """The same function, what it yields on a page."""
    return lambda *given, **named: page(parts(*given, **named))


def page(parts: Iterable[RenderableType]) -> Group:
    """Parts under each other, an empty line between two."""
    shown: list[RenderableType] = []
    for part in parts:
        shown += [*([Text()] if shown else []), part]
    return Group(*shown)


def halves(left: RenderableType, right: RenderableType, least: int = 44) -> Drawn:
    """`left` and `right` in half of the room each where that is `least` cells, else `right` below."""

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        half = (options.max_width - _GAP) // 2
        if half < least:
            yield from (left, Text(), right)
            return
        each = options.update(width=half, height=None)
        columns = [console.render_lines(one, each, pad=False) for one in (left, right)]
        for line, other in zip_longest(*columns):
            yield from line or []
            if other:
                yield Segment(" " * (half + _GAP - Segment.get_line_length(line or [])))
                yield from other
            yield Segment.line()

    return Drawn(draw)


def beside(left: RenderableType, right: RenderableType) -> Drawn:
    """`left` and `right` next to each other where `left` leaves `right` 60 cells, else `right` below."""

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        half = options.update(width=options.max_width // 2, height=None)
        lines = console.render_lines(left, half, pad=False)
        wide = max((Segment.get_line_length(line) for line in lines), default=0)
        rest = options.max_width - wide - _GAP
        # A left part that fills its half would be wider if it could.
        if wide >= half.max_width or rest < _RIGHT:
            yield from (left, Text(), right)
            return
        others = console.render_lines(right, options.update(width=rest, height=None), pad=False)
        for line, other in zip_longest(lines, others):
            yield from line or []
            if other is not None:
                yield Segment(" " * (wide + _GAP - Segment.get_line_length(line or [])))
                yield from other
            yield Segment.line()

    return Drawn(draw)


SIGNS = {"e^": "about 2.718 to the power of", "Σ": "the sum of", "ᵀ": "with its rows as columns"}
"""What stands in a calculation and is no number; e alone may be a vector there."""


def steps(rows: Iterable[Sequence[str]], *, title: str = "", least: int = 0, signs: bool = False) -> Drawn:
    """Each row is a name and what it equals: its formula, the same with the numbers in it, …, the result.

    `("hidden", "e·W + b", "[0.3, 0.4]·W + [0.5, 0.5]", "[2.0, 2.7]")` becomes

        hidden = e·W + b
               = [0.3, 0.4]·W + [0.5, 0.5]
               = [2.0, 2.7]

    The result, the last of several, stands out. A newline in a part starts a new line in it, as the rows of
    `numbers.matrix` do; a part that is longer than the line is wrapped after its `=`, between its vectors. Where the
    names would leave the parts too little of the line, each stands above its own. `least`: cells that the names have
    in any case; `signs`: with a key to those of `SIGNS` that are there.
    """
    blocks = [(visible(name), parts) for name, *parts in rows]
    names = max((cell_len(name) for name, _ in blocks), default=0)
    names = max(names, least)
    written = "".join(part for _, parts in blocks for part in parts)
    key = "; ".join(f"{sign}: {meaning}" for sign, meaning in SIGNS.items() if signs and sign in written)
    # One line each needs no room in between.
    spread = any(len(parts) > 1 or "\n" in parts[0] for _, parts in blocks if parts)

    def draw(_: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        wide = options.max_width
        above = names > _NAMES * wide and wide - names - len(" = ") < _PARTS
        made = _equals(0 if above else names)
        for index, (name, parts) in enumerate(blocks):
            if index and spread:
                made.add_row()
            if above or not parts:
                yield from (made, Text(name, theme.NAME))
                made = _equals(0 if above else names)
            for place, part in enumerate(parts):
                result = place == len(parts) - 1 and place > 0
                room = wide - (0 if above else names) - len(" = ")
                text = "\n".join(_calculation(visible(line), room) for line in part.split("\n"))
                shown = Text(name, theme.NAME) if place == 0 and not above else Text()
                made.add_row(shown, "=", Text(text, theme.STRONG if result else ""))
        yield made
        if key:
            yield from (Text(), remark(key))

    return Drawn(draw, title=title)


def _calculation(line: str, cells: int) -> str:
    """A line in lines of so many cells, a vector whole and a sign with what follows; columns stay as they are."""
    terms, size = _SIZE.split(line)[:2] if _SIZE.search(line) else (line, "")
    if cell_len(line) <= cells or _COLUMNS.search(terms):
        return line
    return "\n".join(_wrapped([*_TERM.findall(terms), *filter(None, [size])], cells))


_SIZE = re.compile(r"  (\(?[\d,]+ [a-z]+\)?)$")
"""How much there is in all, such as "576 numbers": whole as well."""
_COLUMNS = re.compile(r"^\s|\s{2}")
_TERM = re.compile(r"(?:[-+−·×/=→] )?(?:[^\s\[]*\[+[^][]*\]+\S*|\S+)")
_PARTS, _NAMES = 30, 0.3
"""Cells that the right side of a calculation has at least beside its names, where these take more than this share."""


def _equals(names: int) -> Table:
    """A row a part: a name of so many cells, `=`, the part."""
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_column(no_wrap=True, width=names)
    made.add_column(no_wrap=True, style=theme.QUIET)
    made.add_column(overflow="fold")
    return made
