"""The key of a colour ramp: which value is which colour. Nothing coloured by value is shown without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.text import Text

from llminspect.core.numbers import column
from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console, ConsoleOptions, RenderResult

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
    else:
        low, high = finite.min(), finite.max()
    if scale == "diverging":
        high = max(abs(low), abs(high))
        low = -high
    if low == high:
        # One value only: it is shown at the low end, and the key stays a scale.
        high = low + (abs(low) or 1.0)
    return float(low), float(high)


def place(value: float, low: float, high: float) -> float:
    """Where `value` lies between `low` (0) and `high` (1), clipped."""
    return float(min(max((value - low) / (high - low), 0.0), 1.0)) if high > low else 0.0


class RampKey:
    """The renderable of `ramp_key`."""

    def __init__(self, scale: theme.Scale, labels: list[str], name: str, note: str, written: bool) -> None:
        self.scale, self.labels, self.name, self.note, self.written = scale, labels, name, note, written

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colors = theme.has_colors(console)
        line = Text()
        if self.name:
            line.append(visible(self.name) + "  ")
        if self.written and not colors:
            line.append(f"{self.labels[0]} to {self.labels[-1]}")
        else:
            self._append_ramp(line, colors)
        if self.note:
            line.append("  " + self.note, theme.QUIET)
        yield line

    def _append_ramp(self, line: Text, colors: bool) -> None:
        cells = _CELLS if colors else 10 if self.scale == "diverging" else 5
        # The labels part the ramp: those of a diverging one name its middle, or 0 would have to be guessed.
        parts = len(self.labels) - 1
        for cell in range(cells):
            position = cell / (cells - 1)
            if cell * parts % cells == 0:
                line.append(f"{self.labels[cell * parts // cells]} ")
            text = " " if colors else theme.shade(self.scale, position)
            line.append(text, theme.cell_style(self.scale, position) if colors else "")
            if (cell + 1) * parts % cells == 0:
                line.append(" ")
        line.append(self.labels[-1])


def ramp_key(
    values: NDArray[np.floating],
    scale: theme.Scale,
    low: float,
    high: float,
    *,
    name: str = "",
    masked: str = "",
    written: bool = False,
) -> RampKey:
    """The key of a ramp from `low` to `high`; ≤ and ≥ mark ends beyond which there are values. `masked` names NaN.

    `written`: the values stand in the picture, so that without colour there are no shades to explain, only a range.
    """
    finite = values[np.isfinite(values)]
    points = [low, 0.5 * (low + high), high] if scale == "diverging" else [low, high]
    labels = [text.strip() for text in column(points, 3)]
    slack = 1e-6 * (high - low)
    if finite.size and finite.min() < low - slack:
        labels[0] = "≤ " + labels[0]
    if (finite.size and finite.max() > high + slack) or np.isposinf(values).any():
        labels[-1] = "≥ " + labels[-1]
    return RampKey(scale, labels, name, masked, written)
