"""Screens: what is longer than the terminal, with its heading on each."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.text import Text

from llminspect.render.screens import screens
from llminspect.render.table import table
from tests.render.samples import shown


def drawn(body: str, height: int, *, fills: bool = False) -> list[list[str]]:
    made = screens("1. Title", Text(body), Console(width=40, _environ={}), height, fills=fills)
    return [shown(part, 40).removesuffix("\n").split("\n") for part in made]


def test_what_fits_is_one_screen_with_its_plain_title() -> None:
    assert drawn("a\nb", 10) == [["1. Title", "────────", "", "a", "b"]]
    assert drawn("a\nb", 7, fills=True) == [["1. Title", "────────", "", "a", "b", "", ""]]


@pytest.mark.parametrize("height", [9, 12, 20])
def test_each_screen_has_the_heading_and_no_more_lines_than_fit(height: int) -> None:
    body = "\n\n".join("\n".join(f"{block}.{line}" for line in range(block % 5 + 1)) for block in range(20))
    found = drawn(body, height)
    assert len(found) > 2
    for number, screen in enumerate(found, 1):
        assert screen[0] == f"1. Title ({number} of {len(found)})" and screen[2] == "" and screen[3]
        assert len(screen) == height or screen is found[-1]
    kept = [line for screen in found for line in screen[3:] if line]
    assert kept == [line for line in body.split("\n") if line]


def test_a_screen_ends_between_paragraphs_where_one_ends_below_its_first_third() -> None:
    found = drawn("a\nb\nc\nd\n\ne\nf\ng", 9)
    assert [screen[3:] for screen in found] == [["a", "b", "c", "d", "", ""], ["e", "f", "g"]]
    assert [screen[3:] for screen in drawn("\n".join("abcdefghijkl"), 9)] == [[*"abcdef"], [*"ghijkl"]]


def test_a_command_stays_with_what_it_shows() -> None:
    shown_rows = "\n".join("abcde")
    found = drawn(f"one\ntwo\nthree\n\n$ llminspect forward\n⋮\n\n{shown_rows}", 13)
    assert [screen[3] for screen in found] == ["one", "$ llminspect forward"]
    assert found[1][-5:] == [*"abcde"]
    # A line with which the view begins is not yet what it shows.
    found = drawn(f"one\ntwo\nthree\n\n$ llminspect embed\n\n5 vectors\n\n{shown_rows}", 13)
    assert [screen[3] for screen in found] == ["one", "$ llminspect embed"]
    found = drawn(f"1\n2\n3\n4\n\n$ llminspect tokenize\n\n5 tokens\n\nA│cat\n\n{shown_rows}", 16)
    assert [screen[3] for screen in found] == ["1", "$ llminspect tokenize"]
    # A view that is longer than a screen begins below its command.
    found = drawn("$ llminspect forward\n\n" + "\n".join("abcdefghij"), 11)
    assert found[0][3:7] == ["$ llminspect forward", "", "a", "b"]


def test_no_screen_has_only_the_end_of_a_block_or_a_remark() -> None:
    assert [screen[3:] for screen in drawn("\n".join("abcdefg"), 9)] == [["a", "b", "c", "", "", ""], [*"defg"]]
    found = drawn("a\nb\nc\n\nd\ne\nf\ng\n\nkey", 12)
    assert [[line for line in screen[3:] if line] for screen in found] == [["a", "b", "c"], [*"defg", "key"]]


def test_a_table_that_goes_on_has_its_names_once_more_and_no_row_is_broken() -> None:
    rows = [(f"row{number}", "first second third fourth") for number in range(8)]
    listed = table(["unit", "words"], rows, title="all units", note="what is shown")
    console = Console(width=24, _environ={}, no_color=True)
    found = [shown(part, 24).splitlines() for part in screens("1. Title", listed, console, 14, fills=False)]
    names = [line.rstrip() for line in found[0][3:6]]
    assert names[0] == "all units" and names[1].split() == ["unit", "words"] and set(names[2]) == {"─"}
    assert len(found) > 2 and all([line.rstrip() for line in screen[3:6]] == names for screen in found)
    assert all(screen[6].startswith("row") and len(screen) <= 14 for screen in found)
    assert found[-1][-1] == "what is shown"
    seen = [line for screen in found for line in screen if line.startswith("row")]
    assert [line.split()[0] for line in seen] == [name for name, _ in rows]
    # On a terminal that is too low for both, a row is worth more.
    low = [shown(part, 24).splitlines() for part in screens("1. Title", listed, console, 8, fills=False)]
    seen = [line for screen in low for line in screen if line.startswith("row")]
    assert [line.split()[0] for line in seen] == [name for name, _ in rows]
