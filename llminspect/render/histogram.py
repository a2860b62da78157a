"""How values are distributed: a histogram in blocks, and the numbers that sum it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from llminspect.core.numbers import count, number
from llminspect.render import theme
from llminspect.render.drawn import Drawn
from llminspect.render.ramp_key import ColorLimits, limits_of
from llminspect.render.safe import visible, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray
    from rich.console import Console, ConsoleOptions

_BLOCKS = " ▁▂▃▄▅▆▇█"
_MOST_BINS = 72


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
        line.append("".join(_BLOCKS[min(max(part - below, 0), 8)] for part in eighths).rstrip(), theme.BAR)
        yield line


def _axis(values: NDArray[np.floating], low: float, high: float, bins: int, margin: int) -> Text:
    slack = 1e-9 * (high - low)
    left = ("≤ " if values.min() < low - slack else "") + number(low, 3)
    right = ("≥ " if values.max() > high + slack else "") + number(high, 3)
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
        f"from {number(float(values.min()), 3)} to {number(float(values.max()), 3)}",
    ]
    return " · ".join([*parts, f"{count(left_out)} not finite"] if left_out else parts)
