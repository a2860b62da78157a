"""The features of a sparse dictionary that are on at a token: how strongly, what each writes, what was made of it."""

from __future__ import annotations

from rich.console import Group, RenderableType

from llminspect.analysis.feature_result import FeaturesResult
from llminspect.analysis.forward_result import ForwardResult
from llminspect.analysis.result import Result, shown_text
from llminspect.arguments.features import PREFIX
from llminspect.commands.explore.panes import Seen
from llminspect.commands.forward.answers import change
from llminspect.commands.head.view import listed
from llminspect.core.numbers import count, several
from llminspect.render import theme
from llminspect.render.bars import BarCell
from llminspect.render.prose import Text
from llminspect.render.safe import quoted, visible
from llminspect.render.table import Cell, Column, Columns, table

NOTHING = "No dictionary is open: llminspect explore --features PATH opens one of SAELens, sparsify or Gemma Scope."
BAR, WORDS = 10, 5


def listed_features(result: Result) -> list[int]:
    """Those that can be chosen, the strongest first."""
    return [one.index for one in result.features or ()] if isinstance(result, FeaturesResult) else []


def view(seen: Seen) -> RenderableType:
    if seen.state.features is None:
        return Text(NOTHING, theme.QUIET)
    parts: list[RenderableType] = []
    for _, result in seen.found:
        if isinstance(result, FeaturesResult):
            parts.append(_table(seen, result))
        elif isinstance(result, ForwardResult) and result.change is not None and result.baseline is not None:
            parts += [Text(), change(result.baseline, result.change)]
    return Group(*parts)


def _table(seen: Seen, result: FeaturesResult) -> RenderableType:
    assert result.features is not None and result.tokens is not None and result.positions and result.active
    token = quoted(shown_text(result.tokens[result.positions[0]]))
    facts = f"at {token}, of the {count(result.dictionary.features)} that read {result.dictionary.reads}"
    if not result.features:
        return Text(f"none is on {facts}", theme.QUIET)
    rows: list[list[Cell]] = []
    chosen, most = min(seen.chosen, len(result.features) - 1), result.features[0].activation
    for index, one in enumerate(result.features):
        mark = "▶" if index == chosen else ""
        bar = BarCell(one.activation / most, BAR)
        rows.append([mark, str(one.index), one.activation, bar, _made(seen, one.index), listed(one.writes[:WORDS])])
    columns: Columns = [
        "", Column("feature", "right"), Column("activation", digits=3), "", "", Column("raises most")
    ]  # fmt: skip
    shown = f"the {count(len(rows))} strongest of " if len(rows) < result.active[0] else ""
    note = f"{shown}{several(result.active[0], 'feature')} on {facts}; before any change"
    note += "; ×: silenced" if any("×" in str(row[4]).split() for row in rows) else ""
    return table(columns, rows, note=note)


def _made(seen: Seen, index: int) -> str:
    """What was done to it: × where it is silenced, else its factor."""
    name, found = f"{PREFIX}{index}", []
    for made in seen.state.changes:
        where, _, times = made.value.rpartition("*")
        if made.kind == "ablate" and made.value == name:
            found.append("×")
        elif where == name and made.kind in ("scale", "steer"):
            found.append(f"{'×' if made.kind == 'scale' else '+'}{visible(times)}")
    return " ".join(found)
