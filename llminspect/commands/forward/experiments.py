"""How experiments look: what was done (in `generate` as well), what it changed, and the sweep of a patch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from llminspect.analysis.change import AnswerChange, Baseline
from llminspect.analysis.experiments import Experiment
from llminspect.analysis.patching import Sweep
from llminspect.core.numbers import number, percent
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.heatmap import heatmap
from llminspect.render.safe import visible
from llminspect.render.table import Cell, Column, table

SHOWN = 14
"""Tokens whose probability is compared."""

DROWNS = 4
"""Times the stream's own length from which on little of the stream is left in the sum."""


def experiments_made(experiments: Sequence[Experiment]) -> list[Text]:
    """What was done, and for each direction that was added how long it is beside what it was added to."""
    made = ", ".join(f"{entry.kind} {entry.where} ({entry.what})" for entry in experiments)
    measured = [(entry.where, entry.length) for entry in experiments if entry.length is not None]
    lengths = [_length(where, length) for where, length in measured if math.isfinite(length)]
    return [Text(visible(made), theme.TITLE), *lengths]


def _length(where: str, length: float) -> Text:
    layer = where.partition(".")[0]
    line = f"the direction is {number(length, 2)} times as long as the stream after layer {layer}"
    return Text(line + (" and drowns it" if length >= DROWNS else ""), theme.QUIET)


def change(baseline: Baseline, found: AnswerChange) -> RenderableType:
    """Before, after, and the change."""
    tokens = sorted(found.tokens, key=lambda token: -max(token.prob_before, token.prob_after))
    rows = [(token.text, token.prob_before, token.prob_after, f"{token.logit_change:+.3f}") for token in tokens]
    before = visible(baseline.next[0].text, True) if baseline.next else "–"
    best = max(found.tokens, key=lambda token: token.prob_after, default=None)
    after = visible(best.text, True) if best else "–"
    moved = f"the answer stays {after}" if before == after else f"the answer moves from {before} to {after}"
    note = f"{moved}; KL(before ‖ after) = {number(found.kl)} bits"
    compared = two_probabilities(rows, ("before", "after", "logit change"), 12)
    return Group(*experiments_made(found.experiments), compared, Text(note, theme.QUIET))


def two_probabilities(
    tokens: Sequence[tuple[str, float | None, float | None, str | None]], names: tuple[str, str, str | None], cells: int
) -> RenderableType:
    """A line a token: its probability in one run and in the other, with bars of up to `cells`; and one thing more."""
    most = max((max(one or 0, other or 0) for _, one, other, _ in tokens), default=1.0) or 1.0
    rows: list[list[Cell]] = []
    for text, one, other, more in tokens[:SHOWN]:
        row: list[Cell] = [Text(visible(text, True))]
        for probability, style in ((one, theme.BAR), (other, theme.BAR_CHOSEN)):
            row.append(None if probability is None else percent(probability, 2))
            row.append(BarCell((probability or 0) / most, cells, style))
        rows.append([*row, more])
    first, second, third = (name and Column(name, "right") for name in names)
    return table(["next token", first, "", second, "", third], rows)


def sweep(found: Sweep, labels: Sequence[str]) -> RenderableType:
    """How much of the other answer comes back, layer by position."""
    heads = found.part == "head"
    order = ", to first order" if found.by == "gradient" else ""
    target, versus = visible(found.target.text, True), visible(found.versus.text, True)
    restored = np.asarray(found.restored)
    rows = [str(layer) for layer in range(len(restored))]
    columns = [str(index) for index in range(restored.shape[1])] if heads else list(labels)
    picture = heatmap(
        restored,
        rows,
        columns,
        scale="diverging",
        limits=(-1.0, 1.0),
        fold="extreme",
        row_name="layers",
        column_name="heads" if heads else "positions",
        value_name=f"share of {target} over {versus} that comes back",
        title=f"patching the {found.part}{order}: 1 = the other text's answer {target}, 0 = this text's {versus}",
    )
    scores = f"logit({target}) − logit({versus}): {number(found.before)} here, {number(found.after)} in the other text"
    return Group(picture, Text(scores, theme.QUIET))
