"""Screens: what is longer than the terminal, with its heading on each."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.text import Text

from llminspect.render.screens import screens
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


def test_a_screen_ends_between_paragraphs_where_one_ends_in_its_second_half() -> None:
    found = drawn("a\nb\nc\nd\n\ne\nf\ng", 9)
    assert [screen[3:] for screen in found] == [["a", "b", "c", "d", "", ""], ["e", "f", "g"]]
    assert [screen[3:] for screen in drawn("\n".join("abcdefgh"), 9)] == [[*"abcdef"], [*"gh"]]
