"""How `forward` draws a feed-forward step: its sums, the curve of f, and how much of h it lets through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType

from llminspect.analysis.feed_forward import NEAR
from llminspect.core.numbers import column, count, number, percent, vector
from llminspect.render import theme
from llminspect.render.curve import FULL, HATCHED, SIGNS, curve
from llminspect.render.prose import Text
from llminspect.render.section import remark, section
from llminspect.render.table import Cell, Column, Columns, table

if TYPE_CHECKING:
    from llminspect.analysis.feed_forward import ActivationCurve, FeedForward

SEEN = 0.06
"""Share of the height of a curve from which on a dip is seen: two or three dots of it."""


def feed_forward(step: FeedForward) -> RenderableType:
    """h = W z + b, a = f(h) for the hidden units with the largest |a|."""
    function = "" if step.function == "none" else step.function
    biased = any(unit.bias is not None for unit in step.units)
    hidden, other = ("W z + b", "W′ z + b′") if biased else ("W z", "W′ z")
    if step.cut:
        hidden = f"max(0, {hidden} - cutoff)"
    if step.function == "clamped SwiGLU":
        formula = f"h = {hidden}   a = clamped SwiGLU(h, {other})"
    elif step.gated:
        formula = f"h = {hidden}   a = {function}(h) · ({other})   the gate h decides how much of {other} passes"
    else:
        formula = f"h = {hidden}   a = {function}(h)" if function else f"h = {hidden}   a = h"
    headers: Columns = [Column("unit", "right"), "h", other if step.gated else None, "a"]
    headers.append(None if step.cut else Column("h, written out", quiet=True))
    rows: list[list[Cell]] = []
    for unit in step.units:
        written = terms_of(unit.terms, column(step.input[:4], 3), unit.bias, len(step.input))
        rows.append([str(unit.unit), unit.hidden, unit.up, unit.activation, written])
    note = (
        f"the {len(step.units)} of {count(step.width)} hidden units with the largest |a|, the size of a; "
        f"{percent(step.positive)} of all have h > 0"
    )
    title = Text(f"feed forward of layer {step.layer}", theme.TITLE)
    formulas = Text(f"z = {vector(step.input, 4, 3)}\n{formula}", theme.QUIET)
    drawn = [] if step.curve is None else [Text(), activation(step)]
    return Group(title, formulas, table(headers, rows, note=note), *drawn)


def activation(step: FeedForward) -> RenderableType:
    """The curve of f with the units that are shown, and of all h of the text which part passes."""
    found = step.curve
    assert found is not None
    low, high = float(found.hidden[0]), float(found.hidden[-1])
    drawn = curve(
        found.hidden,
        found.bent,
        [(unit.hidden, unit.bent or 0.0, f"unit {unit.unit}") for unit in step.units],
        axes=("h", "f(h)"),
        counts=found.counts,
        full=found.passing,
        beyond=(found.least < low, found.most > high),
    )
    left = f"{percent(found.passed)} of all |h| is left in |f(h)|"
    if found.passed > 1:
        left = f"all |f(h)| together are {number(found.passed, 3)} times all |h|"
    note = f"● a hidden unit; {left}"
    if found.counts is not None:
        below = (
            f"below, how often each value of h occurs, over all tokens and units: {FULL} what f lets through, f(h) / h"
        )
        note = f"● a unit of the list; {below}, {HATCHED} what it holds back; {left}"
    return section(f"f = {step.function}: what passes", drawn, remark(note, SIGNS), *_dip(found))


def _dip(found: ActivationCurve) -> list[RenderableType]:
    """How far f falls below 0 between the ends of the axis; where that is too little to be seen, drawn once more."""
    hidden_P, bent_P = np.asarray(found.hidden), np.asarray(found.bent)
    lowest = int(bent_P.argmin())
    if not (bent_P[lowest] < 0 and 0 < lowest < len(bent_P) - 1):
        return []
    lowest_at = f"f(h) is lowest near h = {number(hidden_P[lowest], 2)}: {number(bent_P[lowest], 3)}"
    if -bent_P[lowest] >= SEEN * np.ptp(bent_P):
        return [remark(lowest_at)]
    near_P = (hidden_P >= -NEAR) & (hidden_P <= NEAR / 3)
    drawn = curve(hidden_P[near_P], bent_P[near_P], axes=("h", "f(h)"))
    return [Text(), Text("the same, near 0", theme.TITLE), drawn, remark(lowest_at)]


def terms_of(terms: Sequence[tuple[float, float]] | None, inputs: Sequence[str], bias: float | None, total: int) -> str:
    """`0.3·1 + 0.4·2 + 0.5`, with the inputs as they are written above."""
    if terms is None:
        return ""
    factors = [(number(weight, 3), text) for (weight, _), text in zip(terms[:2], inputs, strict=False)]
    written = " + ".join(f"{_signed(weight)}·{_signed(text)}" for weight, text in factors)
    more = " + …" if total > 2 else ""
    return written + more + (f" + {_signed(number(bias, 3))}" if bias is not None else "")


def _signed(text: str) -> str:
    text = text.strip()
    return f"({text})" if text.startswith("-") else text
