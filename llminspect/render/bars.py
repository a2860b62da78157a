"""Horizontal bars: probabilities, contributions with a sign; a row of numbers as a sparkline; a histogram in blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.style import Style

from llminspect.core.numbers import aligned, column, count, number, percent
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.ramp_key import ColorLimits, limits_of
from llminspect.render.safe import fit, label, visible, width
from llminspect.render.section import Drawn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SPARKS = "▁▂▃▄▅▆▇█"
_LONGEST = 60
_MOST_BINS = 72


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
    labels: Sequence[str], values: ArrayLike, *, numbers: Sequence[str] | None = None, title: str = ""
) -> Drawn:
    """Bars to the left and right of a line at zero, for contributions and changes; otherwise as probability_bars.

    Where all are on one side, the line stands at the edge.
    """
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
                _append_signed(line, share, *_sides(values, room - 1))
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


def spark_row(lead: str, values: ArrayLike, trail: str, *, limits: tuple[float, float] | None = None) -> Drawn:
    """A sparkline with a word before and after it; where the line is short the words stand above it, and where it is
    shorter still each mark stands for the mean of some neighbours."""
    row = np.asarray(values, dtype=float).ravel()

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        if width(lead) + 1 + row.size + 2 + width(trail) <= options.max_width:
            yield Text.assemble((f"{lead} ", theme.QUIET), sparkline(row, limits=limits), (f"  {trail}", theme.QUIET))
            return
        size = -(-row.size // max(8, options.max_width))
        groups = [row[start : start + size].mean() for start in range(0, row.size, size)]
        yield Text(f"{lead} {trail}" + (f"; each mark the mean of {size}" if size > 1 else ""), theme.QUIET)
        yield sparkline(groups, limits=limits)

    return Drawn(draw)


def _sides(values: NDArray[np.floating], cells: int) -> tuple[int, int]:
    """Cells to the left and to the right of the line at zero."""
    if not (values < 0).any():
        return 0, cells
    return (cells, 0) if not (values > 0).any() else (cells // 2, cells // 2)


def _append_signed(line: Text, share: float, left: int, right: int) -> None:
    """Half a cell is the finest step on both sides: there is no right-aligned eighth block to match the left ones."""
    halves = round(abs(share) * max(left, right) * 2)
    if share:
        halves = max(halves, 1)
    full, rest = divmod(halves, 2)
    if share < 0:
        line.append(("▐" * rest + "█" * full).rjust(left), theme.NEGATIVE)
        line.append("│", theme.LINE)
    else:
        line.append(" " * left)
        line.append("│", theme.LINE)
        line.append("█" * full + "▌" * rest, theme.POSITIVE)


def _largest(values: NDArray[np.floating]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0


def histogram(
    values: ArrayLike,
    *,
    title: str = "",
    name: str = "values",
    bins: int | None = None,
    height: int = 8,
    limits: ColorLimits = None,
) -> Drawn:
    """How often which values occur, `height` lines high, and their mean, standard deviation and extremes.

    `name` says in the plural what is counted; `bins` is by default what the width allows; `limits` are the ends of
    the axis, `"robust"` to leave out the outermost hundredth at each end: what is beyond is counted in the last bins,
    and ≤ and ≥ say so. The standard deviation is that of the values themselves (divided by n).
    """
    array = np.asarray(values, dtype=float).ravel()
    finite = array[np.isfinite(array)]
    low, high = limits_of(finite, "sequential", limits)

    def draw(_: Console, options: ConsoleOptions) -> Iterator[Text]:
        if not finite.size:
            yield Text("nothing to show: no finite values", theme.QUIET)
            return
        margin = len(count(finite.size)) + 1
        places = max(4, min(bins or _MOST_BINS, options.max_width - margin))
        # Values beyond the limits are counted in the outermost bins, never dropped.
        counts = np.histogram(np.clip(finite, low, high), bins=places, range=(low, high))[0]
        yield from _columns(counts, max(1, height), margin)
        yield _axis(finite, low, high, places, margin)
        yield Text(_summary(finite, array.size - finite.size, name), theme.QUIET)

    return Drawn(draw, title=title, least=30)


def _columns(counts: NDArray[np.integer], height: int, margin: int) -> Iterator[Text]:
    eighths = np.ceil(counts / counts.max() * height * 8).astype(int)
    for row in range(height):
        below = (height - 1 - row) * 8
        line = Text(no_wrap=True, overflow="crop")
        line.append((count(int(counts.max())) if row == 0 else "").rjust(margin - 1) + " ", theme.QUIET)
        line.append("".join(f" {_SPARKS}"[min(max(part - below, 0), 8)] for part in eighths).rstrip(), theme.BAR)
        yield line


def _axis(values: NDArray[np.floating], low: float, high: float, bins: int, margin: int) -> Text:
    slack = 1e-9 * (high - low)
    first, last = aligned(low, high, digits=3)
    left = ("≤ " if values.min() < low - slack else "") + first
    right = ("≥ " if values.max() > high + slack else "") + last
    line = left + " " * max(1, bins - width(left) - width(right)) + right
    zero = int(-low / (high - low) * bins)
    if low < 0 < high and line[zero - 1 : zero + 2] == "   ":
        line = line[:zero] + "0" + line[zero + 1 :]
    return Text(" " * margin + line, theme.QUIET, no_wrap=True, overflow="ellipsis")


def _summary(values: NDArray[np.floating], left_out: int, name: str) -> str:
    parts = [
        f"{count(values.size)} {visible(name)}",
        f"mean {number(float(values.mean()), 3)}",
        f"standard deviation {number(float(values.std()), 3)}",
        "from {} to {}".format(*aligned(float(values.min()), float(values.max()), digits=3)),
    ]
    return " · ".join([*parts, f"{count(left_out)} not finite"] if left_out else parts)
