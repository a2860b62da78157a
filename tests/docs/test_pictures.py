"""The pictures in docs/ show what the program draws today."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tools.book import pictures
from tools.book.blocks import ROOT
from tools.book.schemes import COLOR, in_both


def test_the_pictures_are_those_of_today() -> None:
    assert pictures.check() == [], "make docs WRITE=1"


def test_another_number_is_another_picture() -> None:
    drawing = '<svg><text x="1">Rome 0.99</text><text x="2">1.00</text></svg>'
    assert pictures.same_picture(drawing, drawing.replace("1.00", "1.01"))
    assert not pictures.same_picture(drawing, drawing.replace("1.00", "1.03"))
    assert not pictures.same_picture(drawing, drawing.replace('<text x="2">1.00</text>', ""))


def test_the_moving_picture_needs_nothing_else_and_stands_still_where_that_is_asked_for() -> None:
    from tools.book.movie import LARGEST, movie
    from tools.book.screens import MOVIE

    drawing = (ROOT / "docs" / "pictures" / "explore.svg").read_text("utf-8")
    assert len(drawing.encode()) < LARGEST and drawing.count('<g class="screen s') == len(MOVIE)
    assert "prefers-reduced-motion: reduce" in drawing
    assert not re.findall(r"<script|<image|@import|url\(|href", drawing)
    assert re.findall(r"https?://[^\"]*", drawing) == ["http://www.w3.org/2000/svg"]
    one = '<svg width="9" height="9">\n<rect/>\n<g font-family="x">\n<text>a</text>\n</g>\n</svg>\n'
    made = movie([one, one.replace(">a<", ">b<")])
    ElementTree.fromstring(made)
    assert re.findall(r"<text>(.)</text>", made) == ["a", "b"]


@pytest.mark.parametrize("name", sorted(path.name for path in pictures.FOLDER.iterdir()))
def test_each_picture_is_light_on_light_pages(name: str) -> None:
    drawing = (pictures.FOLDER / name).read_text("utf-8")
    ElementTree.fromstring(drawing)
    assert len(drawing.encode()) < 120_000
    light = drawing.split("\n")[1]
    assert light.startswith("<style>@media (prefers-color-scheme: light) {")
    # The paper, and the ink of most letters (of the program's own, and of the screen of explore).
    assert '[fill="#111318"] { fill: #ffffff }' in light
    assert (
        '[fill="#e0e0e0"] { fill: #1f1f1f }' if "explore" in name else '[fill="#dee0e6"] { fill: #1c1e24 }'
    ) in light


def test_a_colour_that_is_two_on_light_pages_gets_both() -> None:
    dark = '<svg>\n<a fill="#000000"/><b fill="#000000"/><c fill="#000000"/><d stroke="#000000"/><e fill="#111111"/>'
    drawn = in_both(dark, dark.replace("#000000", "#ffffff").replace('b fill="#ffffff"', 'b fill="#eeeeee"'))
    _, light, shapes = drawn.split("\n")
    assert shapes.replace(' class="c0"', "") == dark.split("\n")[1] and '<b class="c0" fill="#000000"/>' in shapes
    rules = re.findall(r"(\S+) \{ (\w+): (#\w+) \}", light)
    assert rules == [
        ('[fill="#000000"]', "fill", "#ffffff"),
        ('[stroke="#000000"]', "stroke", "#ffffff"),
        (".c0", "fill", "#eeeeee"),
    ]
    with pytest.raises(ValueError, match="other shapes"):
        in_both(dark, COLOR.sub("", dark))
