"""How values are distributed: a histogram in blocks, and the numbers that sum it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.measure import Measurement
from rich.text import Text

from llminspect.core.numbers import count, number
from llminspect.render import theme
from llminspect.render.ramp_key import ColorLimits, limits_of
from llminspect.render.safe import visible, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray
    from rich.console import Console, ConsoleOptions, RenderResult

_BLOCKS = " ▁▂▃▄▅▆▇█"
_MOST_BINS = 72


class Histogram:
    """The renderable of `histogram`; adapts to the width that it is given."""

    def __init__(
        self, values: NDArray[np.floating], title: str, name: str, bins: int | None, height: int, limits: ColorLimits
    ) -> None:
        self.values = values[np.isfinite(values)]
        self.left_out = values.size - self.values.size
        self.title, self.name, self.bins, self.height = title, name, bins, height
        self.low, self.high = limits_of(self.values, "sequential", limits)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(30, options.max_width), options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(visible(self.title), theme.TITLE)
        if not self.values.size:
            yield Text("nothing to show: no finite values", theme.QUIET)
            return
        margin = len(count(self.values.size)) + 1
        bins = max(4, min(self.bins or _MOST_BINS, options.max_width - margin))
        # Values beyond the limits are counted in the outermost bins, never dropped.
        clipped = np.clip(self.values, self.low, self.high)
        counts = np.histogram(clipped, bins=bins, range=(self.low, self.high))[0]
        yield from self._columns(counts, margin)
        yield self._axis(bins, margin)
        yield Text(self._summary(), theme.QUIET)

    def _columns(self, counts: NDArray[np.integer], margin: int) -> Iterator[Text]:
        eighths = np.ceil(counts / counts.max() * self.height * 8).astype(int)
        for row in range(self.height):
            below = (self.height - 1 - row) * 8
            line = Text(no_wrap=True, overflow="crop")
            line.append((count(int(counts.max())) if row == 0 else "").rjust(margin - 1) + " ", theme.QUIET)
            line.append("".join(_BLOCKS[min(max(part - below, 0), 8)] for part in eighths).rstrip(), theme.BAR)
            yield line

    def _axis(self, bins: int, margin: int) -> Text:
        slack = 1e-9 * (self.high - self.low)
        left = ("≤ " if self.values.min() < self.low - slack else "") + number(self.low, 3)
        right = ("≥ " if self.values.max() > self.high + slack else "") + number(self.high, 3)
        line = left + " " * max(1, bins - width(left) - width(right)) + right
        zero = int(-self.low / (self.high - self.low) * bins)
        if self.low < 0 < self.high and line[zero - 1 : zero + 2] == "   ":
            line = line[:zero] + "0" + line[zero + 1 :]
        return Text(" " * margin + line, theme.QUIET, no_wrap=True, overflow="ellipsis")

    def _summary(self) -> str:
        values = self.values
        parts = [
            f"{count(values.size)} {visible(self.name)}",
            f"mean {number(float(values.mean()), 3)}",
            f"standard deviation {number(float(values.std()), 3)}",
            f"from {number(float(values.min()), 3)} to {number(float(values.max()), 3)}",
        ]
        if self.left_out:
            parts.append(f"{count(self.left_out)} not finite")
        return " · ".join(parts)


def histogram(
    values: ArrayLike,
    *,
    title: str = "",
    name: str = "values",
    bins: int | None = None,
    height: int = 8,
    limits: ColorLimits = None,
) -> Histogram:
    """How often which values occur, `height` lines high, and their mean, standard deviation and extremes.

    `name` says in the plural what is counted; `bins` is by default what the width allows; `limits` are the ends of
    the axis, `"robust"` to leave out the outermost hundredth at each end: what is beyond is counted in the last bins,
    and ≤ and ≥ say so. The standard deviation is that of the values themselves (divided by n).
    """
    return Histogram(np.asarray(values, dtype=float).ravel(), title, name, bins, max(1, height), limits)
