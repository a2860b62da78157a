"""How `forward` shows which places the answer hangs on: `--patch` without --into as a map, `--saliency` as colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from llminspect.core.numbers import column, number, several
from llminspect.render import theme
from llminspect.render.bars import signed_bars
from llminspect.render.heatmap import heatmap
from llminspect.render.safe import visible
from llminspect.render.table import Cell, Column, table
from llminspect.render.token_strip import value_strip

if TYPE_CHECKING:
    from llminspect.analysis.sweeping import Agreement, Sweep
    from llminspect.analysis.token_scores import Integrated, Saliency
    from llminspect.core.array import Array

CELLS = 12
"""Heads at positions that have a row."""


def sweep(found: Sweep, labels: Sequence[str]) -> RenderableType:
    """How much of the other answer comes back: layer by position, or layer by head."""
    heads = found.part in ("head", "head-position")
    order = ", to first order" if found.by == "gradient" else ""
    target, versus = visible(found.target.text, True), visible(found.versus.text, True)
    part = "head at all positions" if found.part == "head-position" else found.part
    restored = np.asarray(found.restored)
    columns = [str(index) for index in range(restored.shape[1])] if heads else list(labels)
    legend = f"share of {target}'s lead over {versus} that comes back"
    title = f"patching the {part}{order}: 1 = the other text's answer {target}, 0 = this text's {versus}"
    parts = [_map(restored, columns, "heads" if heads else "positions", legend, title)]
    if found.part == "head-position" and found.heads is not None:
        at_each = np.asarray(found.heads)
        parts += [Text(), _cells(found, at_each, labels)]
        for layer in found.opened or []:
            name = f"patching each head of layer {layer} at each position{order}"
            parts += [Text(), _map(at_each[layer], list(labels), "positions", legend, name, "heads")]
    if found.agreement is not None:
        parts += [Text(), Text(agreement(found.agreement, labels))]
    scores = f"logit({target}) − logit({versus}): {number(found.before)} here, {number(found.after)} in the other text"
    return Group(*parts, Text(scores, theme.QUIET))


def _map(
    shares: Array, columns: Sequence[str], column_name: str, legend: str, title: str, row_name: str = "layers"
) -> RenderableType:
    rows = [str(row) for row in range(len(shares))]
    return heatmap(
        shares, rows, columns, scale="diverging", limits=(-1.0, 1.0), fold="extreme", row_name=row_name,
        column_name=column_name, value_name=legend, title=title,
    )  # fmt: skip


def _cells(found: Sweep, at_each: Array, labels: Sequence[str]) -> RenderableType:
    """The heads at positions that bring back, or take, most."""
    order = np.argsort(-np.abs(at_each), axis=None, kind="stable")[:CELLS]
    places = [tuple(map(int, np.unravel_index(place, at_each.shape))) for place in order]
    places = [place for place in places if at_each[place]]
    maps = [at_each] if found.first_order is None else [at_each, np.asarray(found.first_order)]
    shown = [column([float(map_LHT[place]) for place in places], 3) for map_LHT in maps]
    rows: list[list[Cell]] = [
        [f"{layer}.{head}", f"{at} {visible(labels[at], True)}", *(texts[row] for texts in shown)]
        for row, (layer, head, at) in enumerate(places)
    ]
    names = [Column("share", "right"), Column("by gradient", "right")][: len(maps)]
    rest = at_each.size - len(places)
    note = f"{several(rest, 'cell')} more in --json; --layer N draws those of a layer" if rest else ""
    title = "heads at single positions: what brings back, or takes, most"
    return table([Column("head", whole=True), Column("position"), *names], rows, title=title, note=note)


def agreement(found: Agreement, labels: Sequence[str]) -> str:
    """How well gradients tell what patching finds, in a sentence."""
    worst = found.worst
    place = f"{worst.layer}.{worst.head}" if worst.head is not None else f"layer {worst.layer}"
    place += "" if worst.position is None else f" at {worst.position} {visible(labels[worst.position], True)}"
    correlated = "none is known" if math.isnan(found.correlation) else number(found.correlation, 3)
    return (
        f"by gradients and exactly: correlation {correlated} over {several(found.cells, 'cell')}; "
        f"farthest apart at {place}: "
        f"{number(worst.gradient, 3)} by gradients, {number(worst.exact, 3)} exactly"
    )


SHOWN = 10
"""Tokens that have a bar."""
TOO_FAR = 0.05
"""Share of the difference that is missing or too much: section 5 of the paper: take more steps then."""


def saliency(found: Saliency, labels: Sequence[str]) -> RenderableType:
    """The text coloured by what each token does for the target, and the strongest as bars."""
    texts = labels[: len(found.drops)]
    target = visible(found.target.text, True)
    if found.integrated is not None:
        title, name, notes = _integrated(found.integrated, target)
    else:
        by_gradient = found.by == "gradient"
        nearly = ", by gradient × input" if by_gradient else ""
        out = (
            "as if it fell in a straight line from here to a vector of zeros"
            if by_gradient
            else "left out: no later token reads anything of it; the last one keeps its own vector"
        )
        title = f"saliency: how far log p({target}) falls when a token is left out{nearly}"
        name = "fall of log p, in nats"
        notes = [f"log p({target}) = {number(found.logprob)} with the whole text; {out}"]
    strongest = sorted(range(len(texts)), key=lambda index: -abs(found.drops[index]))[:SHOWN]
    return Group(
        Text(title, theme.TITLE),
        value_strip(texts, found.drops, scale="diverging", numbers=True, name=name),
        Text(),
        signed_bars(
            [f"{index} {visible(texts[index], True)}" for index in strongest],
            [found.drops[index] for index in strongest],
        ),
        *(Text(note, theme.QUIET) for note in notes),
    )


def _integrated(found: Integrated, target: str) -> tuple[str, str, list[str]]:
    """The title, what the colours stand for, and what is said below."""
    what = {"logprob": f"log p({target})", "logit": f"logit({target})", "difference": f"logit({target})"}[found.of]
    if found.versus is not None:
        what += f" − logit({visible(found.versus.text, True)})"
    start = {"zero": "vectors of zeros", "mean": "the mean vector of all tokens"}
    baseline = start.get(found.baseline, f"the vectors of “{visible(found.baseline)}”")
    moved = found.value - found.baseline_value
    off = abs(found.error / moved) if moved else abs(found.error)
    return (
        f"integrated gradients: each token's part of {what}, from {baseline} to the text",
        "part, in nats" if found.of == "logprob" else "part, in logits",
        [
            f"{what} = {number(found.value)} after the text and {number(found.baseline_value)} after the baseline; "
            f"the parts sum to {number(found.sum)} for a difference of {number(moved)}: {100 * off:.2g}% off, with "
            f"{several(found.steps, 'step')}"
            + ("; take more --path-steps, or a --baseline that is more like the text" if off > TOO_FAR else "")
        ],
    )
