"""What a narrow table says of the columns that it leaves out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from llminspect.render.bars import BarCell
from llminspect.render.section import halves
from llminspect.render.sized_table import first_fitting
from llminspect.render.table import Cell, Column, Columns, table
from tests.render.samples import lines

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS: Columns = ["token", Column("weight", digits=2), "", Column("usual", spared=2), Column("time", spared=9)]
ROWS: list[list[Cell]] = [["France", 0.5, BarCell(0.5, 8), 0.25, "12 ms"], ["Paris", 0.25, BarCell(0.25, 8), 1.0, "9"]]


def _several() -> RenderableType:
    """The way that leaves a column out stands between two that have them all."""
    long: Columns = ["token", Column("weight of the token"), Column("usual weight", spared=1)]
    rows: list[list[Cell]] = [["France", 1.0, 2.0]]
    without = table([long[0], long[1], None], rows, left_out=("usual weight",))
    return first_fitting([table(long, rows)], [without], [table(["token", "weight", "usual"], rows)])


def test_the_columns_left_out_are_named_with_the_width_that_shows_them() -> None:
    made = table(COLUMNS, ROWS, note="a note")
    assert lines(made, 60)[-1] == "a note"
    # Without its bar alone there is nothing to say: the number that it repeats stands beside it.
    bars = table([*COLUMNS[:3], "usual"], ROWS)
    assert "█" not in "".join(lines(bars, 26)) and "Left" not in "".join(lines(bars, 26))
    assert lines(made, 36)[-3:] == ["a note", "Left out at this width: time; shown", "from width 38."]
    assert " ".join(lines(made, 20)).endswith("a note Left out at this width: time, usual; all shown from width 38.")


@pytest.mark.parametrize("made", [table(COLUMNS, ROWS), _several()])
def test_from_the_width_that_is_named_nothing_is_left_out_and_below_it_something_is(made: RenderableType) -> None:
    named = {}
    for columns in range(16, 80):
        text = " ".join(lines(made, columns))
        found = re.search(r"Left out at this width: .+; (?:all )?shown from width (\d+)\.", text)
        assert ("Left" in text) == (found is not None)
        if found:
            named[columns] = int(found[1])
    assert named and 79 not in named
    for columns, enough in named.items():
        assert enough > columns and enough not in named
        assert all(width in named for width in range(columns, enough))


def test_in_a_part_of_a_page_no_width_is_named() -> None:
    """Half of a page is not as wide as the page: a number would not be true."""
    text = " ".join(" ".join(lines(halves(table(COLUMNS, ROWS), table(COLUMNS, ROWS), 20), 54)).split())
    assert "Left out at this width: time" in text and "shown from" not in text
