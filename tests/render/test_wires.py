"""Layered graphs: where nodes stand, and the lines between them, on a terminal and in pictures."""

from __future__ import annotations

import io
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from llminspect.render import picture
from llminspect.render.layered import apart, arranged
from llminspect.render.safe import visible
from llminspect.render.wires import Wire, wires

HOSTILE = "<&\u202e>"
NAMES = {"top": 0, "left": 1, "right": 1, HOSTILE: 2, "end": 3}
GROUPS = [
    [Wire("top", "left", 4.0, ("q", -1)), Wire("left", "end", 4.0)],
    [Wire("top", "right", -2.0), Wire("right", "end", -2.0)],
    [Wire("top", HOSTILE, 1.0), Wire(HOSTILE, "end", 0.5)],
]


def text(columns: int, most: int = 9, colors: bool = False) -> str:
    console = Console(file=io.StringIO(), width=columns, force_terminal=colors, legacy_windows=False)
    console.print(wires(NAMES, GROUPS, most))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("seed", range(20))
def test_middles_are_the_nearest_that_keep_apart(seed: int) -> None:
    """Against the formula of isotonic regression: the largest of the smallest means around each place."""
    chance = np.random.default_rng(seed)
    widths = [int(width) for width in chance.integers(1, 8, 9)]
    wanted = [float(value) for value in chance.uniform(0, 300, 9)]
    found = apart(wanted, widths, 2, 1000)
    offsets = [sum(widths[:at]) + 2 * at + widths[at] / 2 for at in range(9)]
    free = np.array(wanted) - offsets
    expected = [
        max(min(free[low : high + 1].mean() for high in range(at, 9)) for low in range(at + 1)) + offsets[at]
        for at in range(9)
    ]
    assert found == pytest.approx([max(value, offset) for value, offset in zip(expected, offsets, strict=True)])


@pytest.mark.parametrize("seed", range(10))
def test_no_two_stand_on_one_place_and_none_outside(seed: int) -> None:
    chance = np.random.default_rng(seed)
    ranks = sorted([0, 1, 2, 3, 4, *(int(rank) for rank in chance.integers(0, 5, 9))])
    widths = [int(width) for width in chance.integers(1, 9, 14)]
    ends = [
        (one, other) for one in range(14) for other in range(14) if ranks[one] < ranks[other] and chance.random() < 0.2
    ]
    places = arranged(ranks, widths, ends, 90)
    assert places is not None and places == arranged(ranks, widths, ends, 90)
    assert arranged(ranks, widths, ends, max(widths) - 1) is None
    for rank in range(5):
        here = sorted((x, widths[node] if ranks[node] == rank else 1) for (at, node), x in places.items() if at == rank)
        assert here[0][0] >= here[0][1] / 2 and here[-1][0] <= 90 - here[-1][1] / 2
        assert all(
            other - one >= (wide + next_wide) / 2 + 1 - 1e-9 for (one, wide), (other, next_wide) in pairwise(here)
        )
    for one, other in ends:  # A line that passes a rank has a place there.
        assert all((rank, one) in places for rank in range(ranks[one], ranks[other]))


def test_a_terminal_shows_names_ports_and_what_is_left_out() -> None:
    shown = text(80)
    assert [name for name in ("top", "left", "right", "end") if name not in shown] == []
    assert "\u202e" not in shown and visible(HOSTILE) in shown and "q" in shown and "not drawn" not in shown
    less = text(80, most=4)
    assert "not drawn: 2 edges, 1 of 5 nodes" in " ".join(less.split()) and "<&" not in less
    assert "isnoroom" in "".join(text(3).split())
    for columns in (20, 40, 60):
        assert max(len(line) for line in text(columns).splitlines()) <= columns


def test_the_key_names_the_kinds_of_lines_that_are_drawn() -> None:
    def key(groups: list[list[Wire]]) -> str:
        console = Console(file=io.StringIO(), width=100)
        console.print(wires(NAMES, groups, 9))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue().partition("its score:")[2]

    assert "above 0" in key(GROUPS[:1]) and "below 0" not in key(GROUPS[:1]) and "both" not in key(GROUPS[:1])
    assert "below 0" in key(GROUPS[1:2]) and "above 0" not in key(GROUPS[1:2])
    together = [Wire("top", "left", 1.0), Wire("top", HOSTILE, 1.0), Wire("top", "end", -1.0)]
    assert "above 0" in key([together]) and "both in one line" in key([together])


def test_stronger_lines_have_more_dots() -> None:
    def dots(shown: str) -> int:
        return sum((ord(char) - 0x2800).bit_count() for char in shown if "\u2800" <= char <= "\u28ff" and char != "⠶")

    def drawn(value: float) -> int:
        console = Console(file=io.StringIO(), width=60)
        chain = [Wire("top", "left", 10.0), Wire("left", "end", value)]
        console.print(wires({"top": 0, "left": 1, "end": 2}, [chain], 9))
        assert isinstance(console.file, io.StringIO)
        return dots(console.file.getvalue())

    assert drawn(10.0) > drawn(3.0) > drawn(1.0) > drawn(-1.0)


def test_a_picture_has_a_curve_for_each_line_as_thick_as_its_value() -> None:
    root = ElementTree.fromstring(picture.svg(wires(NAMES, GROUPS, 9), 80, "light"))
    curves = {path[0].text: path for path in root.iter("{http://www.w3.org/2000/svg}path")}
    width = {title: float(path.attrib["stroke-width"]) for title, path in curves.items()}
    assert width["top → left q +4.00"] == pytest.approx(2 * width["right → end -2.00"], rel=0.01)
    assert width["top → right -2.00"] == pytest.approx(width["right → end -2.00"])
    color = {title: path.attrib["stroke"] for title, path in curves.items()}
    assert color["top → right -2.00"] != color["top → left q +4.00"]
    assert "stroke-dasharray" in curves["top → right -2.00"].attrib
    assert "stroke-dasharray" not in curves["top → left q +4.00"].attrib
    assert f"top → {visible(HOSTILE)} +1.00" in curves
    light, dark = (picture.svg(wires(NAMES, GROUPS, 9), 80, theme) for theme in ("light", "dark"))
    assert light != dark


def test_png_draws_them_too() -> None:
    image = pytest.importorskip("PIL.Image")
    from llminspect.render.png import png

    drawn = image.open(io.BytesIO(png(wires(NAMES, GROUPS, 9), 60, "light"))).convert("RGB")
    colors = {color for _, color in drawn.getcolors(1 << 20)}
    assert {(0xD1, 0x60, 0x3D), (0x4A, 0x78, 0xD6)} <= colors


def test_a_curve_of_a_png_has_smooth_edges() -> None:
    image = pytest.importorskip("PIL.Image")
    from llminspect.render.png import png

    plain = [Wire("top", "left", 10.0), Wire("top", "right", 10.0)]
    drawn = image.open(io.BytesIO(png(wires({"top": 0, "left": 1, "right": 1}, [plain], 9), 60, "light")))
    rows = [drawn.crop((0, y, drawn.width, y + 1)).convert("RGB").getcolors(1 << 20) for y in range(64, 140)]
    blends = {(0xD1, 0x60, 0x3D), (255, 255, 255)}
    assert sum(any(color not in blends for _, color in row) for row in rows) > 60  # Nearly every row of the curves.


def test_the_key_shows_lines_as_those_of_the_graph() -> None:
    assert "⠶⠶⠶⠶ above 0" in text(100)
    assert "<circle" not in picture.svg(wires(NAMES, GROUPS, 9), 100, "light")
