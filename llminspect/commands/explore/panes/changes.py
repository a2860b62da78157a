"""The changes: what each does to the answer, alone and all together, before and after."""

from __future__ import annotations

from rich.console import Group, RenderableType

from llminspect.analysis.forward_result import ForwardResult
from llminspect.commands.explore.panes import Seen
from llminspect.commands.forward.answers import change
from llminspect.core.numbers import percent, signed
from llminspect.render import theme
from llminspect.render.prose import Text
from llminspect.render.safe import visible
from llminspect.render.table import Cell, Column, Columns, table

NOTHING = (
    "Nothing is changed. Space silences the chosen head, a its layer's attention, f its feed forward, + and - scale "
    "the head, p puts in what another text gave, s steers."
)


def view(seen: Seen) -> RenderableType:
    changes = seen.state.changes
    if not changes:
        return Text(NOTHING, theme.QUIET)
    results = [result for _, result in seen.found if isinstance(result, ForwardResult) and result.change is not None]
    alone = results[1:] if len(changes) > 1 else results
    rows: list[list[Cell]] = []
    for index, made in enumerate(changes):
        mark = "▶" if index == min(seen.chosen, len(changes) - 1) else ""
        rows.append(
            [mark, f"{made.kind} {visible(made.value)}", *_effect(alone[index] if index < len(alone) else None)]
        )
    if len(changes) > 1:
        rows.append(["", "all together", *_effect(results[0] if results else None)])
    columns: Columns = [
        "",
        "change",
        "token",
        *(Column(name, "right") for name in ("logit change", "before", "after")),
        Column("KL, bits", "right", digits=3),
    ]
    parts: list[RenderableType] = [
        table(columns, rows, note="x undoes the one that is marked; u the last thing that was done")
    ]
    if results:
        found = results[0]
        assert found.change is not None and found.baseline is not None
        parts += [Text(), change(found.baseline, found.change)]
    return Group(*parts)


def _effect(result: ForwardResult | None) -> list[Cell]:
    """Of the target, or of the token that was most probable."""
    if result is None or result.change is None:
        return ["…", "", "", "", ""]
    shift = result.change.target or result.change.tokens[0]
    before, after = percent(shift.prob_before, 2), percent(shift.prob_after, 2)
    moved = signed(shift.logit_change, 3)
    return [visible(shift.text, True), moved, before, after, result.change.kl]
