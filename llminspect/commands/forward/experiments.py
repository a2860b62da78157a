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
    rows: list[list[Cell]] = []
    most = max((max(token.prob_before, token.prob_after) for token in found.tokens), default=1.0) or 1.0
    for token in sorted(found.tokens, key=lambda token: -max(token.prob_before, token.prob_after))[:SHOWN]:
        rows.append(
            [
                Text(visible(token.text, True)),
                percent(token.prob_before, 2),
                BarCell(token.prob_before / most, 12),
                percent(token.prob_after, 2),
                BarCell(token.prob_after / most, 12, theme.BAR_CHOSEN),
                f"{token.logit_change:+.3f}",
            ]
        )
    columns = [
        Column("next token"),
        Column("before", "right"),
        Column(""),
        Column("after", "right"),
        Column(""),
        Column("logit change", "right"),
    ]
    before = visible(baseline.next[0].text, True) if baseline.next else "–"
    best = max(found.tokens, key=lambda token: token.prob_after, default=None)
    after = visible(best.text, True) if best else "–"
    moved = f"the answer stays {after}" if before == after else f"the answer moves from {before} to {after}"
    note = f"{moved}; KL(before ‖ after) = {number(found.kl)} bits"
    return Group(*experiments_made(found.experiments), table(columns, rows), Text(note, theme.QUIET))


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
