"""Rectangles to one scale: their lengths are those of what they stand for, as near as the smallest sign."""

from __future__ import annotations

import re

import pytest

from llminspect.render.rectangles import SizedBlock, rectangles
from tests.render.samples import shown

ACROSS, UP = " ▏▎▍▌▋▊▉█", " ▁▂▃▄▅▆▇█"
SIZES = [(384, 6), (512, 6), (576, 30), (768, 12), (1600, 48), (12288, 96), (16384, 126)]


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_sides_are_as_long_as_what_they_stand_for(columns: int) -> None:
    drawn = [SizedBlock((f"{wide} by {high}",), wide, high) for wide, high in SIZES]
    *pictures, key = shown(rectangles(drawn, ("number", "layer")), columns).split("\n\n")
    pictures.append(key.partition("\nAll to one scale")[0])
    cell = re.search(r"█ is about ([\d,]+) numbers across and (\d+) layers up", " ".join(key.split()))
    assert cell is not None
    unit, lines = int(cell[1].replace(",", "")), int(cell[2])
    assert unit == round(16384 / min(columns, 100)) and lines == round(126 / 8)
    for (wide, high), picture in zip(SIZES, pictures, strict=True):
        rows = picture.splitlines()[1:]
        highest = UP.index(rows[0][0]) / 8
        assert highest + len(rows) - 1 == pytest.approx(high / 126 * 8, abs=0.07)
        exact = wide / 16384 * min(columns, 100)
        if len(rows) > 1:
            assert len(rows[1]) - 1 + ACROSS.index(rows[1][-1]) / 8 == pytest.approx(exact, abs=0.07)
        assert abs(len(rows[0]) - exact) < 0.77
        if rows[0][-1] in "▖█" + ACROSS[1:]:
            corner = 0.5 if rows[0][-1] == "▖" else ACROSS.index(rows[0][-1]) / 8
            assert len(rows[0]) - 1 + corner == pytest.approx(exact, abs=0.33)
