"""How `diff` looks: both texts, both distributions, and how far the streams part, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from llminspect.analysis.diff import DiffResult, StreamDistance, TokenProbabilities
from llminspect.commands.forward.view import strip
from llminspect.core.numbers import number, percent
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.safe import visible
from llminspect.render.table import Cell, Column, table

ROWS = 14


def render(result: DiffResult) -> RenderableType:
    """The two texts, the two distributions, the streams."""
    same_model = result.a.model == result.b.model
    parts: list[RenderableType] = []
    for name, side in (("a", result.a), ("b", result.b)):
        parts += [
            Text(name if same_model else f"{name}  {visible(side.model)}", theme.QUIET),
            strip(side.tokens, len(side.tokens) - 1),
        ]
    parts += [Text(), distributions(result.tokens), divergences(result), Text()]
    if result.layers is not None:
        parts.append(streams(result.layers))
    else:
        parts.append(Text("the streams have different sizes: their layers cannot be compared number by number", "dim"))
    return Group(*parts)


def distributions(pairs: Sequence[TokenProbabilities]) -> RenderableType:
    """Both probabilities of each token."""
    most = max((max(pair.prob_a or 0, pair.prob_b or 0) for pair in pairs), default=1.0) or 1.0
    rows: list[list[Cell]] = [
        [
            Text(visible(pair.text, True)),
            None if pair.prob_a is None else percent(pair.prob_a, 2),
            BarCell((pair.prob_a or 0) / most, 14),
            None if pair.prob_b is None else percent(pair.prob_b, 2),
            BarCell((pair.prob_b or 0) / most, 14, theme.BAR_CHOSEN),
        ]
        for pair in pairs[:ROWS]
    ]
    columns = [Column("next token"), Column("a", "right"), Column(""), Column("b", "right"), Column("")]
    return table(columns, rows)


def divergences(result: DiffResult) -> RenderableType:
    if result.kl_ab is None or result.kl_ba is None:
        return Text("the vocabularies differ: there is no KL divergence; tokens are matched by their text", theme.QUIET)
    line = f"KL(a ‖ b) = {number(result.kl_ab)} bits   KL(b ‖ a) = {number(result.kl_ba)} bits"
    return Text(line, theme.STRONG)


def streams(layers: Sequence[StreamDistance]) -> RenderableType:
    """A line a layer (of many, some): the angle and the distance."""
    stride = max(1, -(-len(layers) // ROWS))
    shown = [entry for entry in layers if entry.layer % stride == 0 or entry.layer == len(layers) - 1]
    most = max((entry.distance for entry in layers), default=1.0) or 1.0
    rows: list[list[Cell]] = [
        [
            str(entry.layer),
            entry.cosine,
            entry.distance,
            BarCell(entry.distance / most, 20),
        ]
        for entry in shown
    ]
    columns = [Column("layer", "right"), Column("cosine"), Column("distance"), Column("")]
    folded = f"{len(layers)} layers, one in {stride} shown; " if stride > 1 else ""
    note = f"{folded}distance: ‖a − b‖ / ‖a‖ at the last position of each text"
    return table(columns, rows, title="how far the residual streams part", note=note)
