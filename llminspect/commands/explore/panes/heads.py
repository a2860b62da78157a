"""The map of heads: layers down, heads across, a cell each, coloured by what was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.style import Style
from rich.text import Text

from llminspect.analysis.attend import AttendResult
from llminspect.analysis.forward_result import ForwardResult
from llminspect.commands.attend.heads import MARKS, MEANINGS
from llminspect.core.numbers import number
from llminspect.render import theme
from llminspect.render.ramp_key import Ramp, limits_of, ramp_key
from llminspect.render.safe import label, visible
from llminspect.render.section import Drawn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

    from llminspect.analysis.result import Result
    from llminspect.commands.explore.panes import Seen
    from llminspect.core.array import Array

WIDEST_CELL = 4


def head_values(result: Result, layers: int, heads: int) -> tuple[Array, bool]:
    """What colours each head [L, H], as the command's JSON has it, and whether it has a sign."""
    values_LH = np.full((layers, heads), np.nan)
    if isinstance(result, AttendResult) and result.overview is not None:
        return np.asarray(result.overview.measures[result.overview.measure], float), False
    if isinstance(result, AttendResult) and result.find is not None:
        for found in result.find.heads:
            values_LH[found.layer, found.head] = np.nan if found.excess is None else found.excess
        return values_LH, True
    if isinstance(result, ForwardResult) and result.attribution is not None:
        for share in result.attribution.layers:
            values_LH[share.layer, : len(share.heads)] = share.heads
    return values_LH, True


def view(seen: Seen) -> RenderableType:
    parts: list[RenderableType] = []
    sizes = seen.model.config.sizes
    for _, result in seen.found:
        values_LH, signed = head_values(result, sizes.L, sizes.H)
        parts += [_map(seen, values_LH, signed, _marks(result))]
    return Group(*parts)


def _marks(result: Result) -> list[list[str]] | None:
    overview = result.overview if isinstance(result, AttendResult) else None
    return None if overview is None else [[MARKS[name] for name in row] for row in overview.habits]


def about(seen: Seen) -> Text | None:
    """The chosen head in one line; None before there is an answer."""
    if not seen.found:
        return None
    state, result, sizes = seen.state, seen.found[0][1], seen.model.config.sizes
    values_LH = head_values(result, sizes.L, sizes.H)[0]
    if not values_LH.size:
        return None
    value = values_LH[state.layer, state.head]
    line = Text.assemble((f"{state.layer}.{state.head}", theme.STRONG))
    line.append(f"  {state.measure} {number(float(value), 3) if value == value else 'none'}")
    if isinstance(result, AttendResult) and result.overview is not None:
        habit = result.overview.habits[state.layer][state.head]
        line.append(f"  {habit}: {MEANINGS.get(habit, 'no attention')}", theme.QUIET)
    if isinstance(result, AttendResult) and result.find is not None:
        query, key = (label(end.text.strip()) for end in (result.find.query, result.find.key))
        line.append(f"  {query} → {key}: its weight beyond what other tokens give", theme.QUIET)
    if isinstance(result, ForwardResult) and result.attribution is not None:
        line.append(f"  what it adds to the logit of {visible(result.attribution.target.text, True)}", theme.QUIET)
    return line


def _map(seen: Seen, values_LH: Array, signed: bool, marks: list[list[str]] | None) -> Drawn:
    scale: theme.Scale = "diverging" if signed else "sequential"
    ramp = Ramp(scale, *limits_of(values_LH, scale, "robust" if signed else (0, 1)))
    silenced = {change.value for change in seen.state.changes if change.kind == "ablate"}

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        colors = theme.has_colors(console)
        layers, heads = values_LH.shape
        cell = max(1, min(WIDEST_CELL, (options.max_width - 6) // max(1, heads)))
        room = max(1, (options.max_width - 6) // cell)
        first = max(0, min(seen.state.head - room // 2, heads - room))
        shown = range(first, min(heads, first + room))
        yield Text("      " + "".join(str(head).ljust(cell)[:cell] for head in shown), theme.QUIET, no_wrap=True)
        for layer in range(layers):
            line = Text(f"{layer:>5} ", theme.QUIET, no_wrap=True, overflow="crop")
            for head in shown:
                value = values_LH[layer, head]
                here = (layer, head) == (seen.state.layer, seen.state.head)
                mark = "×" if f"{layer}.{head}" in silenced else marks[layer][head] if marks else ""
                text = (f"[{mark or ' '}]" if cell > 2 else "●") if here else (f" {mark}" if cell > 1 else mark)
                place = ramp.place(value) if value == value else None
                if not colors and not text.strip():
                    text = "" if place is None else f" {theme.shade(scale, place)}"
                style = Style() if place is None or not colors else theme.cell_style(scale, place)
                meta = Style.from_meta({"head": (layer, head)})
                line.append(text.ljust(cell)[:cell], style + meta + (theme.STRONG if here else Style()))
            yield line
        yield ramp_key(values_LH, ramp, name=seen.state.measure)

    return Drawn(draw)
