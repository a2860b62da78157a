"""The pictures in docs/ show what the program draws today."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tools.book import pictures
from tools.book.blocks import ROOT


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
