"""Which heads of two models look elsewhere, on the same texts: their patterns side by side, and their habits."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from llminspect.analysis.passes import run_until
from llminspect.analysis.result import Dims
from llminspect.core.array import Array
from llminspect.core.attention_measures import MEASURES, habit, measure_all
from llminspect.core.changes import moved_weight
from llminspect.core.dataclass import dataclass
from llminspect.core.intervals import of_mean
from llminspect.core.tap import Capture, Visit
from llminspect.model.opened import Model

LARGEST = 1 << 26
"""Numbers of the first model's patterns that are held until the second's come by: 256 MB."""
MEANING = "the share of its weight that a head gives elsewhere: ½ Σ |a - b|, the mean over the queries from token 1 on"


@dataclass(frozen=True)
class HabitChange:
    """A measure of `attend` in both models: the means over the pieces that have a place to measure it."""

    measure: str
    a: float
    b: float
    change: float
    """b - a, and the ends of the 95% interval of its mean, from piece to piece (Student's t)."""
    low: float
    high: float


@dataclass(frozen=True)
class HeadChange:
    """One head."""

    layer: int
    head: int
    moved: float
    """The share of its weight that it gives elsewhere, from 0 to 1; the mean over the pieces."""
    std: float
    """From piece to piece; no number for a single one, nor are the ends of the 95% interval of the mean."""
    low: float
    high: float
    habit_a: str
    """What it is called by its means, as in `attend`."""
    habit_b: str
    measures: list[HabitChange]


@dataclass(frozen=True)
class HeadChanges:
    """All heads."""

    definition: str
    moved: Annotated[Array, Dims("L H")]
    """[L][H]: the share of its weight that each head gives elsewhere; null in a layer without attention."""
    habits_a: list[list[str]]
    """[L][H]: what each head is called, in a …"""
    habits_b: list[list[str]]
    """… and in b; none in a layer without attention."""
    changed: int
    """How many heads have another habit."""
    heads: list[HeadChange]
    """Those that moved most, furthest first."""


class HeadSums:
    """Measures and distances of all heads, piece after piece: sums, and sums of squares around the first piece's."""

    def __init__(self, a: Model, b: Model) -> None:
        self._models, self._layers = (a, b), [*a.config.attending]
        self._heads = a.config.sizes.H
        # Of each head: moved, then each measure in a, in b, and how far they are apart.
        shape = len(self._layers), self._heads, 1 + 3 * len(MEASURES)
        self._count, self._sum, self._squares = (np.zeros(shape) for _ in range(3))

    def streams(self, ids_BT: Array) -> tuple[Array, Array]:
        """The streams [B, T, D] of both after their last layers, having compared all heads in each text."""
        together = max(1, LARGEST // (ids_BT.size * ids_BT.shape[1] * self._heads))
        *before, last = range(0, len(self._layers), together)
        for start in before:
            names, taps = self._taps(ids_BT, range(start, start + together))
            for model, tap in zip(self._models, taps, strict=True):
                run_until(model, ids_BT, tap, names)  # type: ignore[arg-type]
        _, taps = self._taps(ids_BT, range(last, len(self._layers)))
        a, b = (model.run(ids_BT, tap).stream_TD for model, tap in zip(self._models, taps, strict=True))
        return a, b

    def _taps(self, ids_BT: Array, places: range) -> tuple[list[str], tuple[Visit, Visit]]:
        """What holds the first model's patterns in some layers, and what compares the second's with them."""
        names = {f"layers.{self._layers[place]}.attention.weights": place for place in places}
        first = Capture(*names)

        def compare(name: str, b_BHTS: Array) -> None:
            self._add(names[name], ids_BT, first.arrays.pop(name), b_BHTS)

        return list(names), (first, Visit(compare, *names))

    def _add(self, place: int, ids_BT: Array, a_BHTS: Array, b_BHTS: Array) -> None:
        for ids_T, a_HTS, b_HTS in zip(ids_BT, a_BHTS, b_BHTS, strict=True):
            measured = []
            for model, weights_HTS in zip(self._models, (a_HTS, b_HTS), strict=True):
                window = model.config.window_of(self._layers[place])
                window = window if window is not None and window < len(ids_T) else None
                found = measure_all(weights_HTS, ids_T, model.config.causal, window)
                measured.append(np.stack([found[name] for name in MEASURES], axis=-1))
            moved_H1 = moved_weight(a_HTS, b_HTS)[:, None]
            values = np.concatenate([moved_H1, *measured, measured[1] - measured[0]], axis=-1)
            there = np.isfinite(values)
            values = np.where(there, values, 0)
            self._count[place] += there
            self._sum[place] += values
            self._squares[place] += values**2

    def summed(self, top: int) -> HeadChanges:
        """All pieces; of the heads that moved most so many."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._sum / self._count
            spread = np.sqrt(np.maximum(self._squares - self._count * mean**2, 0) / (self._count - 1))
        std = np.where(self._count > 1, spread, np.nan)
        every = [
            self._head(place, head, mean[place, head], std[place, head])
            for place in range(len(self._layers))
            for head in range(self._heads)
        ]
        layers = self._models[0].config.sizes.L
        moved_LH = np.full((layers, self._heads), np.nan)
        habits_a, habits_b = ([["none"] * self._heads for _ in range(layers)] for _ in "ab")
        for head in every:
            moved_LH[head.layer, head.head] = head.moved
            habits_a[head.layer][head.head], habits_b[head.layer][head.head] = head.habit_a, head.habit_b
        there = sorted((head for head in every if math.isfinite(head.moved)), key=lambda head: -head.moved)
        changed = sum(head.habit_a != head.habit_b for head in every)
        return HeadChanges(MEANING, moved_LH, habits_a, habits_b, changed, there[:top])

    def _head(self, place: int, head: int, mean: Array, std: Array) -> HeadChange:
        size, count = len(MEASURES), self._count[place, head]
        a, b, apart = (mean[1 + side * size : 1 + (side + 1) * size] for side in range(3))
        habits = [habit(dict(zip(MEASURES, values.tolist(), strict=True))) for values in (a, b)]
        measures = []
        for index, name in enumerate(MEASURES):
            at = 1 + 2 * size + index
            if count[at]:
                ends = of_mean(float(mean[at]), float(std[at]), int(count[at]))
                measures.append(HabitChange(name, float(a[index]), float(b[index]), float(apart[index]), *ends))
        ends = of_mean(float(mean[0]), float(std[0]), int(count[0])) if count[0] else (math.nan, math.nan)
        return HeadChange(
            self._layers[place], head, float(mean[0]), float(std[0]), *ends, habits[0], habits[1], measures
        )


def comparable_heads(a: Model, b: Model) -> bool:
    """Whether both have the same heads in the same layers."""
    first, second = a.config, b.config
    return first.sizes.H == second.sizes.H and [*first.attending] == [*second.attending] != []
