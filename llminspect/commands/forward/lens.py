"""How the lens looks: a line a layer, or with --all a grid of layers and positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from llminspect.core.numbers import percent
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.safe import fit, visible
from llminspect.render.table import Cell, Column, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from llminspect.analysis.candidates import ProbableToken
    from llminspect.analysis.lens import LensLayer

SHOWN = 5
"""Tokens a layer in the lens."""


def lens_table(layers: Sequence[LensLayer]) -> RenderableType:
    """A line a layer: what it would say, and where the target stands."""
    target = layers[0].target
    rows: list[list[Cell]] = []
    final = layers[-1].top[0].id if layers[-1].top else None
    for layer in layers:
        row: list[Cell] = [str(layer.layer)]
        if layer.target is not None:
            prob = float(layer.target.prob)
            row += [str(layer.target.rank), percent(prob, 2), BarCell(prob, 8)]
        line = Text(no_wrap=True, overflow="ellipsis")
        for entry in layer.top[:SHOWN]:
            style = theme.STRONG if entry.id == (target.id if target else final) else ""
            line.append(visible(entry.text, True), style)
            line.append(f" {percent(entry.prob)}   ", theme.QUIET)
        rows.append([*row, line])
    name = visible(target.text, True) if target else ""
    columns = [Column("layer", "right")]
    columns += [Column(f"rank of {name}", "right"), Column("prob", "right"), Column("")] if target else []
    note = "the final norm and the vocabulary applied to the stream of each layer; the last layer is the answer"
    if target is not None:
        first = leads_from(layers)
        note += f"; {name} leads " + (f"from layer {first} on" if first is not None else "at no layer up to the end")
    return table([*columns, Column("most probable")], rows, title="lens: what each layer would say", note=note)


def leads_from(layers: Sequence[LensLayer]) -> int | None:
    """The first layer from which the target stays in front to the end; None where it is not in front at the end."""
    first = None
    for layer in reversed(layers):
        if layer.target is None or layer.target.rank:
            break
        first = layer.layer
    return first


class LensGrid:
    """The best token of each layer (down, the last on top) at each position (across), on the colour of its probability;
    the last positions where not all fit."""

    CELL = 10

    def __init__(self, grid: Sequence[Sequence[ProbableToken]], labels: Sequence[str]) -> None:
        self.grid, self.labels = grid, labels

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colors = theme.has_colors(console)
        room = max(1, (options.max_width - 6) // self.CELL)
        first = max(0, len(self.labels) - room)
        yield Text("lens: the most probable next token after each layer, at each position", theme.TITLE)
        if first:
            yield Text(f"the last {room} of {len(self.labels)} positions", theme.QUIET)
        yield self._line("", [fit(visible(label, True), self.CELL - 1) + " " for label in self.labels[first:]])
        for layer in reversed(range(len(self.grid))):
            line = Text(f"{layer:>5} ", theme.QUIET, no_wrap=True, overflow="crop")
            for token in self.grid[layer][first:]:
                shown = fit(visible(token.text, True), self.CELL - 1) + " "
                line.append(shown, theme.cell_style("sequential", float(token.prob)) if colors else "")
            yield line
        yield Text("colour: its probability, dark 0 to light 1" if colors else "layers down, positions across", "dim")

    @staticmethod
    def _line(label: str, cells: Sequence[str]) -> Text:
        return Text(f"{label:>5} " + "".join(cells), theme.STRONG, no_wrap=True, overflow="crop")
