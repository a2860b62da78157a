"""The key of a colour ramp: which value is which colour. Nothing coloured by value is shown without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from rich.console import Console, ConsoleOptions

from llminspect.core.numbers import column
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.section import Drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray

ColorLimits = tuple[float, float] | Literal["robust"] | None
"""The values at the two ends of a ramp; "robust" leaves out the outermost hundredth at each end; None takes all."""

_CELLS = 24


def limits_of(values: NDArray[np.floating], scale: theme.Scale, limits: ColorLimits) -> tuple[float, float]:
    """The values at the ends of the ramp for `values`; a diverging ramp has 0 in its middle."""
    if isinstance(limits, tuple):
        return limits
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    if limits == "robust":
        low, high = np.percentile(finite, [1, 99])
        if np.array_equal(finite, np.round(finite)):  # Whole numbers, such as counts, have whole ends.
            low, high = np.floor(low), np.ceil(high)
    else:
        low, high = finite.min(), finite.max()
    if scale == "diverging":
        high = max(abs(low), abs(high))
        low = -high
    if low == high:
        # One value only: it is shown at the low end, and the key stays a scale.
        high = low + (abs(low) or 1.0)
    return float(low), float(high)


class Ramp(NamedTuple):
    """Which value is which colour."""

    scale: theme.Scale
    low: float
    high: float

    def place(self, value: float) -> float:
        """Where `value` lies between `low` (0) and `high` (1), clipped."""
        return float(min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)) if self.high > self.low else 0.0


def ramp_key(
    values: NDArray[np.floating], ramp: Ramp, *, name: str = "", masked: str = "", written: bool = False
) -> Drawn:
    """The key of a ramp; ≤ and ≥ mark ends beyond which there are values. `masked` names NaN.

    `written`: the values stand in the picture, so that without colour there are no shades to explain, only a range.
    """
    scale, low, high = ramp
    finite = values[np.isfinite(values)]
    points = [low, 0.5 * (low + high), high] if scale == "diverging" else [low, high]
    labels = [text.strip() for text in column(points, 3)]
    slack = 1e-6 * (high - low)
    if finite.size and finite.min() < low - slack:
        labels[0] = "≤ " + labels[0]
    if (finite.size and finite.max() > high + slack) or np.isposinf(values).any():
        labels[-1] = "≥ " + labels[-1]

    flat = scale == "sequential" and finite.size and finite.min() == finite.max() == low
    one = flat and (low, high) == limits_of(finite, scale, None)

    def draw(console: Console, options: ConsoleOptions) -> Iterator[Text]:
        colors = theme.has_colors(console)
        key = Text()
        if one:  # No ramp: its other end would be made up.
            key.append("  ", theme.cell_style(scale, 0.0)).append(" ") if colors else None
            key.append(labels[0])
        elif written and not colors:
            key.append(f"{labels[0]} to {labels[-1]}")
        else:
            _append_ramp(key, scale, labels, colors)
        line = Text()
        for part in filter(None, [Text(visible(name)), key, Text(masked, theme.QUIET)]):
            if line and line.cell_len + 2 + part.cell_len > options.max_width:  # An end of a ramp stays with it.
                yield line
                line = Text()
            line.append("  " if line else "").append_text(part)
        yield line

    return Drawn(draw)


def _append_ramp(line: Text, scale: theme.Scale, labels: list[str], colors: bool) -> None:
    cells = _CELLS if colors else 10 if scale == "diverging" else 5
    # The labels part the ramp: those of a diverging one name its middle, or 0 would have to be guessed.
    parts = len(labels) - 1
    for cell in range(cells):
        position = cell / (cells - 1)
        if cell * parts % cells == 0:
            line.append(f"{labels[cell * parts // cells]} ")
        text = " " if colors else theme.shade(scale, position)
        line.append(text, theme.cell_style(scale, position) if colors else "")
        if (cell + 1) * parts % cells == 0:
            line.append(" ")
    line.append(labels[-1])
