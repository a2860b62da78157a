"""Bars, strips of tokens and tables as text."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from llminspect.render.bars import BarCell, bar, probability_bars, signed_bars, sparkline
from llminspect.render.curve import Series, series
from llminspect.render.prose import Text
from llminspect.render.screens import lines_of
from llminspect.render.table import Cell, Column, Columns, Entries, key_values, table
from llminspect.render.token_strip import Kind, token_strip, value_strip
from tests.render.samples import WORDS, lines, shown


def test_probability_bars() -> None:
    picture = probability_bars([" of", "日"], [0.5, 0.25], strong=[0], title="next")
    assert lines(picture, 30) == ["next", "·of  50.00%  " + "█" * 15 + " ◀", "日   25.00%  " + "█" * 7 + "▌"]
    assert lines(picture, 160)[1] == "·of  50.00%  " + "█" * 60 + " ◀"
    assert "◀" not in shown(picture, 80, "truecolor")


def test_bars_are_exact_to_an_eighth_and_never_vanish() -> None:
    assert bar(0.5, 3) == "█▌"
    assert bar(1.0, 3) == "███"
    assert bar(1e-9, 3) == "▏"
    assert bar(0.0, 3) == ""


def test_signed_bars_stand_on_both_sides_of_zero() -> None:
    assert lines(signed_bars(["layer 0", "up", "none"], [-2.0, 1.0, 0.0]), 40) == [
        "layer 0  -2  █████████████│",
        "up        1               │██████▌",
        "none      0               │",
    ]


def test_bars_that_are_all_on_one_side_start_at_the_edge() -> None:
    assert lines(signed_bars(["a", "b"], [2.0, 1.0]), 27) == ["a  2  │████████████████████", "b  1  │██████████"]
    assert lines(signed_bars(["a", "b"], [-2.0, 0.0]), 27) == [
        "a  -2  ███████████████████│",
        "b   0                     │",
    ]


def test_bars_refuse_what_does_not_match() -> None:
    with pytest.raises(ValueError, match="1 labels, 2 values"):
        probability_bars(["a"], [0.5, 0.5])


def test_sparkline() -> None:
    assert sparkline([0, 1, np.nan, 2]).plain == "▁▅ █"
    assert sparkline([3, 3]).plain == "▄▄"
    assert sparkline(np.arange(8)).plain == "▁▂▃▄▅▆▇█"


def test_strip_without_color_parts_tokens() -> None:
    plain: Kind = "text"
    kinds: list[Kind] = ["special", *[plain] * 7, "partial"]
    strip = token_strip(["<s>", *WORDS, "\n", "x", "\ufffd"], kinds)
    assert lines(strip) == ["⟦<s>⟧│Alice│·gave│·Bob│·her│·book│⏎", "x│‹\ufffd›"]


def test_strip_with_ids_aligns_them() -> None:
    assert lines(token_strip(["Alice", " a", "日"], ids=[7356, 4502, 8])) == ["Alice│·a  │日", "7356 │4502│8"]


def test_strip_breaks_at_the_width_and_cuts_long_tokens() -> None:
    assert lines(token_strip(["abc", "def", "ghijklmnopq"]), 8) == ["abc│def", "ghijklmn", "opq"]
    assert lines(token_strip(["abc", "def"]), 5) == ["abc", "def"]


def test_strip_with_color_needs_no_separator() -> None:
    output = shown(token_strip(WORDS), 80, "truecolor")
    assert "│" not in output
    assert output.count("48;2;") == 5
    # With 16 colours the backgrounds are not told apart well enough.
    assert "│" in shown(token_strip(WORDS), 80, "standard")


def test_value_strip_shows_numbers_where_there_is_no_color() -> None:
    strip = value_strip(WORDS[:3], [1.5, np.nan, 12.0], name="bits")
    assert lines(strip) == ["Alice│·gave│·Bob", "1.5  │     │12.0", "bits  1.5 to 12.0"]
    assert "12.0" not in shown(strip, 80, "truecolor").split("bits")[0]


def test_table() -> None:
    made = table(
        ["index", Column("token", spaces=True), "prob", "note"],
        [(0, " a", 0.5, None), (10, "[/", 0.125, Text("x"))],
        title="tokens",
        note="the end",
    )
    assert lines(made) == [
        "tokens",
        "index   token    prob   note",
        "────────────────────────────",
        "    0   ·a      0.500   –",
        "   10   [/      0.125   x",
        "the end",
    ]


def test_bars_in_a_narrow_table_shrink_the_same() -> None:
    rows: list[list[Cell]] = [[f"layer {index}", BarCell(share, 12)] for index, share in enumerate((1.0, 0.5, 0.0))]
    for room, longest in ((40, 12), (16, 6)):
        drawn = [line.count("█") for line in lines(table(["name", "x"], rows), room)[2:]]
        assert drawn == [longest, longest // 2, 0]


def test_key_values() -> None:
    assert lines(key_values([("model", "smollm2"), ("layers", 30)])) == ["model   smollm2", "layers  30"]


def test_a_note_is_as_wide_as_the_page_and_keeps_an_option_with_its_value() -> None:
    made = table(["a"], [["x"]], title="of a few words", note="more of it: --layer 0 --head 12")
    assert lines(made, 24) == ["of a few words", "a", "─", "x", "more of it: --layer 0", "--head 12"]
    assert lines(made, 19)[-2:] == ["more of it:", "--layer 0 --head 12"]


def test_a_narrow_table_leaves_out_what_can_be_spared_and_never_its_labels() -> None:
    columns: Columns = ["token", Column("weight", digits=2), "", Column("usual", spared=2), Column("time", spared=9)]
    made = table(
        columns, [["France", 0.5, BarCell(0.5, 8), 0.25, "12 ms"], ["Paris", 0.25, BarCell(0.25, 8), 1.0, "9 ms"]]
    )
    headers = [shown(made, columns).splitlines()[0].split() for columns in (60, 36, 28, 20)]
    assert headers == [
        ["token", "weight", "usual", "time"],
        ["token", "weight", "usual"],
        ["token", "weight", "usual"],
        ["token", "weight"],
    ]
    assert "█" in shown(made, 36) and "█" not in shown(made, 28)
    assert [line.split() for line in lines(made, 13)][2:4] == [["France", "0.50"], ["Paris", "0.25"]]
    assert " ".join(shown(made, 10).split()).startswith("token France weight 0.50")


@pytest.mark.parametrize("columns", range(12, 90))
def test_no_number_of_a_table_is_ever_cut(columns: int) -> None:
    """First the columns stand closer and their names are broken between words, then each row is a list of its own."""
    names = ["layer", "head", "weight", "others", "control excess"]
    rows: list[list[Cell]] = [[22, 0, 0.489, 0.1331, -0.0265], [13, 8, 0.968, 0.9062, 0.0372]]
    made = table([*(Column(name, digits=3) for name in names), "habit"], [[*row, "sink or self"] for row in rows])
    words = {*shown(made, columns).split()}
    assert words >= set(
        "layer head weight others control excess habit sink self 0.489 -0.0265 0.968 0.0372".split()
    ) - {*words}
    assert max(map(len, lines(made, columns))) <= columns


def test_a_table_with_two_bars_is_never_wider_than_the_page() -> None:
    """rich shortens all columns alike and then gives some their least again."""
    names: Columns = [
        "next token",
        Column("before", "right"),
        "",
        Column("after", "right"),
        "",
        Column("logit change", "right"),
    ]
    for length in (3, 9, 10, 15):
        row: list[Cell] = ["·" + "x" * length, "77.25%", BarCell(0.5, 12), "<0.01%", BarCell(0.7, 12), "+12.554"]
        for cells in range(50, 80):
            console = Console(width=cells)
            made = lines_of(table(names, [row]), console, console.options, colors=False)
            assert max(map(Segment.get_line_length, made)) <= cells


def test_a_bar_goes_before_entries_are_folded() -> None:
    entries = [Text(f"token{place} 12.5%") for place in range(3)]
    made = table(["token", "", "next"], [["a", BarCell(0.5, 12), Entries(entries)]])
    assert [len(lines(made, width)) for width in (80, 60, 40)] == [3, 3, 4]
    assert ["█" in lines(made, width)[-1] for width in (80, 60)] == [True, False]


@pytest.mark.parametrize("width", [30, 15])
def test_an_entry_has_its_style_alone(width: int) -> None:
    """On one line with others as on a line of its own."""
    console = Console(width=width)
    made = console.render(Entries([Text("the answer", "bold"), Text("a number")]))
    assert {each.text.strip() for each in made if each.style is not None and each.style.bold} == {"the answer"}


@pytest.mark.parametrize("width", [60, 80, 160])
def test_places_along_an_axis_are_named_evenly(width: int) -> None:
    drawn = series([Series("●", Style(), "mean", [0.5] * 30)], [str(at) for at in range(30)], axis="x", limits=(0, 1))
    names = [int(name) for name in lines(drawn, width)[-2].split()]
    assert len({later - before for before, later in pairwise(names[:-1])}) == 1 and names[-1] == 29


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_a_place_ahead_of_those_that_are_counted_has_its_name_and_its_key(width: int) -> None:
    places = ["E", *map(str, range(30))]
    line = Series("●", Style(), "mean", [0.0] + [1.0] * 30)
    *drawn, axis, key = lines(series([line], places, axis="after layer", limits=(0, 1), first="embedding"), width)
    begin = axis.index("E")
    assert drawn[-2].index("●") == begin and drawn[0].index("●") > begin and "E embedding   → after layer" in key
    names = [int(name) for name in axis.split()[1:]]
    apart = {later - before for before, later in pairwise(names[:-1])}
    assert len(apart) == 1 and names[0] in (0, *apart) and names[-1] == 29


@pytest.mark.parametrize("end", [[], [1.25]], ids=["a bar last", "a number last"])
def test_the_longer_of_two_bars_is_that_of_the_larger_number(end: list[Cell]) -> None:
    """On every page: the columns of a table's bars shrink together."""
    names: Columns = ["next token", Column("before", "right"), "", Column("after the change", "right"), ""]
    row: list[Cell] = [" Paris", 0.7725, BarCell(0.7725, 12), 0.7795, BarCell(0.7795, 12), *end]
    lengths = set[int]()
    for columns in range(24, 81):
        drawn = "\n".join(lines(table([*names, *(["logit change"] if end else [])], [row]), columns))
        bars = re.findall("█+[▏▎▍▌▋▊▉]?", drawn)
        if len(bars) == 2:  # One of them goes, then both, where the page is narrow.
            before, after = (sum(" ▏▎▍▌▋▊▉█".index(cell) for cell in each) for each in bars)
            assert before <= after, columns
            lengths.add(len(bars[0]))
    assert len(lengths) > 3
