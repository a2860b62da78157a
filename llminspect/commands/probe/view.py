"""How `probe` looks: the curve over the layers with the control below it, and the places that count in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from llminspect.core.numbers import count, fixed, number, percent, several
from llminspect.render import theme
from llminspect.render.curve import Series, series
from llminspect.render.safe import quoted, shorten, visible
from llminspect.render.section import facts, headed, paged, remark, section
from llminspect.render.table import Cell, Column, table

if TYPE_CHECKING:
    from llminspect.analysis.probe import ProbeResult

SHOWN_CLASSES = 8
MOST_ROWS = 8
"""Layers of which all have a row; more are drawn as a curve."""
EMBEDDING = "E"
"""Below the curve, where places may be a cell apart."""


@paged
def render(result: ProbeResult) -> Iterator[RenderableType]:
    """The parts, one below the other."""
    yield _headline(result)
    if len(result.layers) > MOST_ROWS:
        yield _curve(result)
    yield _table(result)
    yield remark(" ".join(_how(result)))


def _headline(result: ProbeResult) -> RenderableType:
    what = "Held-out R²" if result.classes is None else "Held-out accuracy"
    read = {"last": "read at the last token", "first": "read at the first token", "mean": "the mean over the tokens"}
    title = headed(f"{what} of a linear probe", f"{several(result.texts, 'text')}, {read[result.pool]}")
    if result.classes is not None:
        shown = [
            f"{shorten(visible(entry.label, spaces=True), 24)} {count(entry.count)}"
            for entry in result.classes[:SHOWN_CLASSES]
        ]
        more = len(result.classes) - SHOWN_CLASSES
        return Group(title, facts([*shown, *([f"{several(more, 'class', 'classes')} more"] if more > 0 else [])]))
    return title


def _curve(result: ProbeResult) -> RenderableType:
    places = result.layers if result.embedding is None else [result.embedding, *result.layers]
    of_numbers = result.classes is None
    floor = 0.0 if of_numbers else result.baseline.accuracy or 0.0
    lines = [
        Series("●", theme.POINTS[0], "labels", [place.score for place in places], [(p.low, p.high) for p in places]),
        Series("○", theme.POINTS[1], "shuffled labels", [place.control for place in places]),
    ]
    lowest = min(floor, *(min(place.control, place.low) for place in places))
    names = [EMBEDDING if place.layer is None else str(place.layer) for place in places]
    first = "embedding" if result.embedding is not None else ""
    # From a whole tenth on; what is far below the mean number is drawn at the edge.
    limits = (max(math.floor(10 * lowest) / 10, -1.0), 1.0)
    level = ("the mean number" if of_numbers else "the most frequent class", floor)
    percents = not of_numbers
    return series(lines, names, axis="after layer", limits=limits, level=level, percents=percents, first=first)


def _table(result: ProbeResult) -> RenderableType:
    places = list(result.layers)
    best = next(place for place in places if place.layer == result.best)
    if len(places) > MOST_ROWS:
        places = [place for place in places if any(place is one for one in (places[0], best, places[-1]))]
    if result.embedding is not None:
        places.insert(0, result.embedding)
    text = _number if result.classes is None else _percent
    rows: list[Sequence[Cell]] = [
        [
            "embedding" if place.layer is None else str(place.layer),
            text(place.score),
            f"{text(place.low)} … {text(place.high)}",
            text(place.control),
            f"{text(place.control_low)} … {text(place.control_high)}",
            text(place.selectivity),
        ]
        for place in places
    ]
    columns = [
        Column("after layer", whole=True), Column("R²" if result.classes is None else "accuracy", "right", whole=True),
        Column("95% interval", "right", whole=True, spared=2), Column("control", "right", whole=True),
        Column("control range", "right", whole=True, spared=3), Column("selectivity", "right", whole=True, spared=1),
    ]  # fmt: skip
    note = ""
    if result.baseline.label is not None:
        share = percent(result.baseline.accuracy or 0.0)
        note = f"always predicting {quoted(shorten(result.baseline.label, 24))} would be right in {share}"
    if len(result.layers) > 1:
        chosen = f"layer {result.best} is the best of {len(result.layers)} on the same texts, "
        chosen += "so its value is a little too good"
        note = f"{note}; {chosen}" if note else chosen
    return section("", table(columns, rows, note=note, strong={places.index(best)} if len(places) > 1 else ()))


def _number(value: float) -> str:
    return fixed(value, 3)


def _percent(value: float) -> str:
    return f"-{percent(-value)}" if value < 0 else percent(value)


def _how(result: ProbeResult) -> Iterator[str]:
    name = "Logistic regression" if result.regression == "logistic" else "Ridge regression"
    if result.splits == 1:
        held = f"{several(result.held_out, 'text')} held out, one part of {result.folds}"
    else:
        held = f"each text was held out once, in one of {result.folds} parts"
    yield f"{name}, penalty {number(result.penalty)}; {held}; seed {result.seed}."
    shuffled = (
        f"Control: {several(result.shuffles, 'shuffle')} of the labels, the mean, and from the lowest to the highest"
    )
    yield f"{shuffled}; selectivity: what is found beyond the mean."
