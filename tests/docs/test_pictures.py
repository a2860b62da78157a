"""The pictures in docs/ show what the program draws today."""

from __future__ import annotations

from tools.book import pictures


def test_the_pictures_are_those_of_today() -> None:
    assert pictures.check() == [], "make docs WRITE=1"


def test_another_number_is_another_picture() -> None:
    drawing = '<svg><text x="1">Rome 0.99</text><text x="2">1.00</text></svg>'
    assert pictures.same_picture(drawing, drawing.replace("1.00", "1.01"))
    assert not pictures.same_picture(drawing, drawing.replace("1.00", "1.03"))
    assert not pictures.same_picture(drawing, drawing.replace('<text x="2">1.00</text>', ""))
