"""The map of heads: layers down, heads across, a cell each, coloured by what was chosen."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType
from rich.style import Style

from llminspect.analysis.attend import AttendResult
from llminspect.analysis.forward_result import ForwardResult
from llminspect.analysis.result import Result
from llminspect.commands.attend.heads import MARKS, MEANINGS
from llminspect.commands.explore.panes import Seen
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.numbers import aligned
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.ramp_key import Ramp, limits_of, ramp_key
from llminspect.render.safe import quoted
from llminspect.render.section import Drawn

WIDEST_CELL = 4
GAP = 3
"""Cells between two maps."""


def head_values(result: Result, layers: int, heads: int, measure: str) -> tuple[Array, bool]:
    """What colours each head [L, H], as the command's JSON has it, and whether it has a sign."""
    values_LH = np.full((layers, heads), np.nan)
    if isinstance(result, AttendResult) and result.overview is not None:
        return np.asarray(result.overview.measures[result.overview.measure], float), False
    if isinstance(result, AttendResult) and result.find is not None:
        for found in result.find.heads:
            values_LH[found.layer, found.head] = np.nan if found.excess is None else found.excess
        return values_LH, True
    if isinstance(result, AttendResult):  # Of a model with one head `attend` gives that instead of an overview.
        for head in result.heads:
            values_LH[head.layer, head.head] = head.measures.get(measure, np.nan)
        return values_LH, False
    if isinstance(result, ForwardResult) and result.attribution is not None:
        for share in result.attribution.layers:
            values_LH[share.layer, : len(share.heads)] = share.heads
    return values_LH, True


def view(seen: Seen) -> RenderableType:
    """The map; where the model is changed, before and after side by side."""
    maps = _head_maps(seen)
    return _maps(seen, maps) if maps else Text()


def _head_maps(seen: Seen) -> list[HeadMap]:
    sizes = seen.model.config.sizes
    values = (head_values(result, sizes.L, sizes.H, seen.state.measure) for _, result in seen.found)
    return [HeadMap(*one, _marks(result)) for one, (_, result) in zip(values, seen.found, strict=True)]


@dataclass(frozen=True)
class HeadMap:
    """What one map shows."""

    values_LH: Array
    signed: bool
    marks: list[list[str]] | None


def _marks(result: Result) -> list[list[str]] | None:
    overview = result.overview if isinstance(result, AttendResult) else None
    return None if overview is None else [[MARKS[name] for name in row] for row in overview.habits]


def about(seen: Seen) -> Text | None:
    """The chosen head in one line, before and after where the model is changed; None before there is an answer."""
    if not seen.found:
        return None
    state, result, sizes = seen.state, seen.found[-1][1], seen.model.config.sizes
    values = [head_values(one, sizes.L, sizes.H, state.measure)[0] for _, one in seen.found]
    if not values[0].size:
        return None
    line = Text.assemble((f"{state.layer}.{state.head}", theme.STRONG))
    of_head = [float(values_LH[state.layer, state.head]) for values_LH in values]
    shown = ["none" if text == "nan" else text for text in aligned(*of_head, digits=3)]
    line.append(f"  {state.measure} {' → '.join(shown)}")
    if isinstance(result, AttendResult) and result.overview is not None:
        habit = result.overview.habits[state.layer][state.head]
        line.append(f"  {habit}: {MEANINGS.get(habit, 'no attention')}", theme.QUIET)
    if isinstance(result, AttendResult) and result.find is not None:
        query, key = (quoted(end.text.strip()) for end in (result.find.query, result.find.key))
        line.append(f"  {query} → {key}: its weight beyond the usual", theme.QUIET)
    if isinstance(result, ForwardResult) and result.attribution is not None:
        versus = result.attribution.versus
        less = "" if versus is None else f" less {quoted(versus.text)}"
        line.append(f"  adds to the logit of {quoted(result.attribution.target.text)}{less}", theme.QUIET)
    return line


def key(seen: Seen) -> RenderableType | None:
    """What the colours and the letters of the map mean: above the map, which may be higher than the screen."""
    maps = _head_maps(seen)
    if not maps:
        return None
    there = {mark for one in maps for row in one.marks or () for mark in row}
    names = [f"{mark} {habit}" for habit, mark in MARKS.items() if mark and mark in there]
    names += ["no letter: mixed"] if "" in there else []
    names += ["× silenced"] if _silenced(seen) else []
    letters = "  ".join(names)
    if not any(np.isfinite(one.values_LH).any() for one in maps):
        return Text("\n".join(filter(None, [_no_number(seen), letters])), theme.QUIET)
    return ramp_key(_stacked(maps), _ramp(maps), name=seen.state.measure, masked=letters)


def _no_number(seen: Seen) -> str:
    """That no head has one, and why."""
    result = seen.found[-1][1]
    if isinstance(result, AttendResult) and result.find is not None:
        return f"excess: no other token sees {quoted(result.find.key.text.strip())}: there is nothing to compare with"
    twice = "; no token comes twice" if seen.state.measure in ("same", "induction") else ""
    return f"{seen.state.measure}: no head has a number here{twice}"


def _stacked(maps: list[HeadMap]) -> Array:
    return np.stack([one.values_LH for one in maps])


def _ramp(maps: list[HeadMap]) -> Ramp:
    scale: theme.Scale = "diverging" if maps[0].signed else "sequential"
    return Ramp(scale, *limits_of(_stacked(maps), scale, "robust" if maps[0].signed else (0, 1)))


def _maps(seen: Seen, maps: list[HeadMap]) -> Drawn:
    ramp = _ramp(maps)

    def draw(console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        room = (options.max_width - GAP * (len(maps) - 1)) // len(maps)
        drawn = [_lines(seen, one, ramp, room, theme.has_colors(console), one is maps[-1]) for one in maps]
        if len(maps) > 1:
            widest = max(line.cell_len for line in drawn[0])
            title = Text("      before".ljust(widest + GAP) + "      after", theme.TITLE, no_wrap=True)
            for line in drawn[0]:
                line.pad_right(widest + GAP - line.cell_len)
            yield title
            yield from (Text.assemble(before, after, no_wrap=True) for before, after in zip(*drawn, strict=True))
        else:
            yield from drawn[0]

    return Drawn(draw)


def _silenced(seen: Seen) -> set[str]:
    """Heads that give nothing."""
    places = {change.value for change in seen.state.changes if change.kind == "ablate"}
    return {place for place in places if re.fullmatch(r"\d+\.\d+", place)}


def _chosen(mark: str, cell: int) -> str:
    """The head that is chosen, in so many cells: what is known of it stays to be read."""
    return f"[{mark or ' '}]" if cell > 2 else f"▸{mark}" if cell > 1 else mark or "●"


def _lines(seen: Seen, shown: HeadMap, ramp: Ramp, room: int, colors: bool, after: bool) -> list[Text]:
    """The rows of one map in so many cells; a head that is silenced is marked where that is done."""
    silenced = _silenced(seen) if after else set()
    layers, heads = shown.values_LH.shape
    cell = max(1, min(WIDEST_CELL, (room - 6) // max(1, heads)))
    fit = max(1, (room - 6) // cell)
    first = max(0, min(seen.state.head - fit // 2, heads - fit))
    columns = range(first, min(heads, first + fit))
    names = "".join(str(head).ljust(cell)[:cell] for head in columns)
    lines = [Text(f"      {names}", theme.QUIET, no_wrap=True)]
    for layer in range(layers):
        line = Text(f"{layer:>5} ", theme.QUIET, no_wrap=True, overflow="crop")
        for head in columns:
            value = shown.values_LH[layer, head]
            here = (layer, head) == (seen.state.layer, seen.state.head)
            mark = "×" if f"{layer}.{head}" in silenced else shown.marks[layer][head] if shown.marks else ""
            text = _chosen(mark, cell) if here else f" {mark}" if cell > 1 else mark
            place = ramp.place(value) if value == value else None
            if not colors and not text.strip():
                text = "" if place is None else f" {theme.shade(ramp.scale, place)}"
            style = Style() if place is None or not colors else theme.cell_style(ramp.scale, place)
            meta = Style.from_meta({"head": (layer, head)})
            line.append(text.ljust(cell)[:cell], style + meta + (theme.STRONG if here else Style()))
        lines.append(line)
    return lines
