"""How `diff` looks: both texts, both distributions, and how far the streams part, layer by layer; or two models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from llminspect.analysis.diff_models import DiffModelsResult
from llminspect.commands.diff.models import head_parts, models_parts, token_parts
from llminspect.commands.forward.answers import two_probabilities
from llminspect.commands.forward.view import strip
from llminspect.core.numbers import number
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.safe import visible
from llminspect.render.section import page
from llminspect.render.table import Cell, Column, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llminspect.analysis.diff import DiffResult, StreamDistance

ROWS_SHOWN = 14


def render(result: DiffResult | DiffModelsResult, top: int = 10) -> RenderableType:
    """The two texts, the two distributions, the streams; of two models what they differ in."""
    if isinstance(result, DiffModelsResult):
        return page(models_parts(result, top))
    same_model = result.a.model == result.b.model
    parts: list[RenderableType] = []
    for name, side in (("a", result.a), ("b", result.b)):
        parts.append(Text(name if same_model else f"{name}  {visible(side.model)}", theme.QUIET))
        parts.append(strip(side.tokens, len(side.tokens) - 1))
    pairs = [(token.text, token.prob_a, token.prob_b, None) for token in result.tokens]
    parts += [Text(), two_probabilities(pairs, ("a", "b", None), 14), divergences(result), Text()]
    if result.layers is not None:
        parts.append(streams(result.layers))
    else:
        parts.append(Text("the streams have different sizes: their layers cannot be compared number by number"))
    if result.token_changes is not None:
        parts += [Text(), page([*token_parts(result.token_changes), *head_parts_of(result)])]
    return Group(*parts)


def head_parts_of(result: DiffResult) -> Iterator[RenderableType]:
    if result.head_changes is not None:
        yield from head_parts(result.head_changes, 6)


def divergences(result: DiffResult) -> RenderableType:
    if result.kl_ab is None or result.kl_ba is None:
        return Text("the vocabularies differ: there is no KL divergence; tokens are matched by their text", theme.QUIET)
    line = f"KL(a ‖ b) = {number(result.kl_ab)} bits   KL(b ‖ a) = {number(result.kl_ba)} bits"
    return Text(line, theme.STRONG)


def streams(layers: Sequence[StreamDistance]) -> RenderableType:
    """A line a layer (of many, some): the angle and the distance."""
    stride = max(1, -(-len(layers) // ROWS_SHOWN))
    shown = [entry for entry in layers if entry.layer % stride == 0 or entry.layer == len(layers) - 1]
    most = max((entry.distance for entry in layers), default=1.0) or 1.0
    rows: list[list[Cell]] = [
        [str(entry.layer), entry.cosine, entry.distance, BarCell(entry.distance / most, 20)] for entry in shown
    ]
    columns = [Column("layer", "right"), Column("cosine"), Column("distance"), Column("")]
    folded = f"{len(layers)} layers, one in {stride} shown; " if stride > 1 else ""
    note = f"{folded}distance: ‖a − b‖ / ‖a‖ at the last position of each text"
    return table(columns, rows, title="how far apart the residual streams are", note=note)
