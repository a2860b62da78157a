"""Horizontal bars: probabilities, contributions with a sign; and a row of numbers as a sparkline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.measure import Measurement
from rich.text import Text

from llminspect.core.numbers import column, percent
from llminspect.render import theme
from llminspect.render.drawn import Drawn
from llminspect.render.safe import fit, label, width

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.style import Style

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SPARKS = "▁▂▃▄▅▆▇█"
_LONGEST = 60


def probability_bars(
    labels: Sequence[str],
    probabilities: ArrayLike,
    *,
    numbers: Sequence[str] | None = None,
    maximum: float | None = None,
    strong: Collection[int] = (),
    title: str = "",
) -> Drawn:
    """One line a label: the label, the probability as a percentage (or `numbers`), a bar.

    The longest bar is `maximum` (by default the largest value). `strong` are the indices that stand out, such as the
    chosen token.
    """
    values = np.asarray(probabilities, dtype=float)
    texts = numbers if numbers is not None else [percent(value, 2) for value in values]
    most = maximum if maximum is not None else _largest(values)
    return _bars(labels, values, texts, most, title, strong=strong)


def signed_bars(
    labels: Sequence[str],
    values: ArrayLike,
    *,
    numbers: Sequence[str] | None = None,
    title: str = "",
) -> Drawn:
    """Bars to the left and right of a line at zero, for contributions and changes; otherwise as probability_bars."""
    array = np.asarray(values, dtype=float)
    texts = numbers if numbers is not None else column(array, 4)
    return _bars(labels, array, texts, _largest(np.abs(array)), title, signed=True)


def _bars(
    labels: Sequence[str],
    values: NDArray[np.floating],
    numbers: Sequence[str],
    maximum: float,
    title: str,
    *,
    signed: bool = False,
    strong: Collection[int] = (),
) -> Drawn:
    if not len(labels) == len(values) == len(numbers):
        raise ValueError(f"{len(labels)} labels, {len(values)} values and {len(numbers)} numbers do not match")
    names = [label(text) for text in labels]

    def draw(console: Console, options: ConsoleOptions) -> Iterator[Text]:
        label_width = min(max(map(width, names), default=0), max(6, options.max_width // 3))
        number_width = max(map(len, numbers), default=0)
        # What colour says elsewhere, an arrow says without.
        arrow = " ◀" if strong and not theme.has_colors(console) else ""
        room = max(4, min(_LONGEST, options.max_width - label_width - number_width - 4 - len(arrow)))
        for index, (name, value, text) in enumerate(zip(names, values, numbers, strict=True)):
            chosen = index in strong
            line = Text(no_wrap=True, overflow="crop")
            line.append(fit(name, label_width), theme.STRONG if chosen else "")
            line.append("  " + text.rjust(number_width) + "  ", theme.STRONG if chosen else "")
            share = float(np.clip(value / maximum, -1, 1)) if np.isfinite(value) and maximum > 0 else 0.0
            if signed:
                _append_signed(line, share, (room - 1) // 2)
            else:
                line.append(bar(share, room), theme.BAR_CHOSEN if chosen else theme.BAR)
            if chosen:
                line.append(arrow)
            line.rstrip()
            yield line

    return Drawn(draw, title=title, least=24)


class BarCell:
    """A bar in a table: `share` of `cells`, or of the fewer that its column has, so that all of them shrink alike."""

    def __init__(self, share: float, cells: int, style: Style = theme.BAR) -> None:
        self.share, self.cells, self.style = share, cells, style

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(4, options.max_width), min(self.cells, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(bar(self.share, min(self.cells, options.max_width)), self.style, no_wrap=True)


def bar(share: float, cells: int) -> str:
    """A bar `share` of `cells` long, to an eighth of a cell; what is not 0 never vanishes."""
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def sparkline(values: ArrayLike, *, limits: tuple[float, float] | None = None) -> Text:
    """A row of numbers as ▁▂▃▄▅▆▇█, one cell each. NaN leaves a gap."""
    row = np.asarray(values, dtype=float).ravel()
    finite = row[np.isfinite(row)]
    if not finite.size:
        return Text(" " * row.size)
    low, high = limits if limits is not None else (finite.min(), finite.max())
    if high <= low:
        return Text("".join("▄" if np.isfinite(value) else " " for value in row), theme.BAR)
    steps = np.clip(np.nan_to_num((row - low) / (high - low)), 0, 1) * 7
    shown = (_SPARKS[round(step)] if np.isfinite(value) else " " for step, value in zip(steps, row, strict=True))
    return Text("".join(shown), theme.BAR)


def _append_signed(line: Text, share: float, half: int) -> None:
    """Half a cell is the finest step on both sides: there is no right-aligned eighth block to match the left ones."""
    halves = round(abs(share) * half * 2)
    if share:
        halves = max(halves, 1)
    full, rest = divmod(halves, 2)
    if share < 0:
        line.append(("▐" * rest + "█" * full).rjust(half), theme.NEGATIVE)
        line.append("│", theme.QUIET)
    else:
        line.append(" " * half)
        line.append("│", theme.QUIET)
        line.append("█" * full + "▌" * rest, theme.POSITIVE)


def _largest(values: NDArray[np.floating]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0
