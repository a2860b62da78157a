"""Saved pictures: what is in them, and that they need nothing else."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from rich.console import Group
from rich.text import Text

from llminspect.errors import UserError
from llminspect.render import png as png_module
from llminspect.render.bars import probability_bars, signed_bars
from llminspect.render.cells import Dot, Letters, Rectangle, shapes
from llminspect.render.heatmap import heatmap
from llminspect.render.picture import html, notebook, svg, text
from llminspect.render.png import CELL_HEIGHT, CELL_WIDTH, MARGIN, png

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGE = 'a<b>&"[/] 日本 ·x'
PICTURE = Group(
    Text(STRANGE, "bold"),
    heatmap(np.array([[0.0, 1.0], [0.5, 0.25]]), ["A", "B"], ["C", "D"], title="weights"),
    probability_bars(["yes", "no"], [0.75, 0.25]),
)


def test_shapes_stand_where_a_terminal_would_show_them() -> None:
    found, rows = shapes(Text.assemble("ab ", ("█▌", "#ff0000"), ("x", "#000000 on #00ff00")), 20, "dark")
    assert rows == 1
    assert found == [
        Rectangle(3, 0, 1.5, 1, (255, 0, 0)),
        Rectangle(5, 0, 1, 1, (0, 255, 0)),
        Letters("ab", 0, 0, 2, (222, 224, 230), False, False),
        Letters("x", 5, 0, 1, (0, 0, 0), False, False),
    ]


def test_wide_letters_and_braille_keep_their_cells() -> None:
    found, _ = shapes(Text("日x\u2881"), 20, "light")
    letters = [shape for shape in found if isinstance(shape, Letters)]
    assert [(shape.text, shape.column, shape.cells) for shape in letters] == [("日x", 0, 3)]
    assert [(shape.x, shape.y) for shape in found if isinstance(shape, Dot)] == [(3.25, 0.125), (3.75, 0.875)]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_svg_is_whole_and_needs_no_network(theme: str) -> None:
    drawn = svg(PICTURE, 60, theme)  # type: ignore[arg-type]
    root = ElementTree.fromstring(drawn)
    words = "".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert STRANGE.replace(" ", "") in words
    assert "weights" in words
    assert "url(" not in drawn
    assert drawn.count("http") == 1, "the name of the namespace"


def test_the_themes_differ_and_the_width_counts() -> None:
    assert 'fill="#ffffff"/>' in svg(PICTURE, 60, "light").split("\n")[1]
    assert 'fill="#111318"/>' in svg(PICTURE, 60, "dark").split("\n")[1]
    assert svg(PICTURE, 60, "dark").split("\n")[0] != svg(PICTURE, 90, "dark").split("\n")[0]


def test_html_needs_no_network() -> None:
    page = html(PICTURE, 60, "light")
    assert "http" not in page.replace("http-equiv", "")
    policy = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
    assert page.index(policy) < page.index("<style>")
    assert "background: #ffffff" in page
    assert "a&lt;b&gt;&amp;" in page


def test_cells_of_html_meet_and_every_column_keeps_its_place() -> None:
    """Lines higher than the letters leave seams between the rows of a heatmap and make a solid arc a dashed one."""
    for page in (html(Text("日⠤x"), 9, "dark"), notebook(Text("日⠤x"), 9)):
        size, height = map(int, re.search(r"font: (\d+)px/(\d+)px", page).groups())  # type: ignore[union-attr]
        assert height <= size * 1.165, "the height of letters in DejaVu Sans Mono and Menlo"
        assert '<i class="wide">日</i><i>⠤</i>x' in page
        assert re.search(r"i \{ display: inline-block; width: 1ch;.*i\.wide \{ width: 2ch; \}", page, re.DOTALL)


def test_text_is_plain() -> None:
    lines = text(PICTURE, 60).split("\n")
    assert lines[0] == STRANGE
    assert "\x1b" not in "".join(lines)
    assert all(line == line.rstrip() for line in lines)


def test_png_shows_the_colours_of_the_cells() -> None:
    image = Image.open(io.BytesIO(png(Text.assemble(("  ", "on #ff0000"), (" ", "on #0000ff"), " x"), 10, "light")))
    assert image.size == (10 * CELL_WIDTH + 2 * MARGIN, CELL_HEIGHT + 2 * MARGIN)
    middle = MARGIN + CELL_HEIGHT // 2
    colors = [image.getpixel((MARGIN + column * CELL_WIDTH + 5, middle)) for column in range(4)]
    assert colors == [(255, 0, 0), (255, 0, 0), (0, 0, 255), (255, 255, 255)]


def test_a_png_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(UserError, match="too many for a PNG"):
        png(Text("\n".join("x" * 300)), 1000, "dark")


def test_a_bar_below_zero_is_one_rectangle_up_to_its_axis() -> None:
    for character, left, width in (("▐", 0.5, 1.5), ("█", 0.0, 2.0)):
        found, _ = shapes(Text(f"{character}█"), 2, "dark")
        assert found == [Rectangle(left, 0, width, 1, (222, 224, 230))]
    found, _ = shapes(signed_bars(["a", "b", "c"], [-1.0, -0.51, 0.3]), 60, "dark")
    assert not [shape for shape in found if isinstance(shape, Letters) and set(shape.text) & set("▐▌█")]


def test_lines_meet_from_row_to_row_and_heavy_ones_are_twice_as_thick() -> None:
    for corner, down, thick in (("┌─┐", "│ │", 0.06), ("┏━┓", "┃ ┃", 0.12)):
        found, _ = shapes(Text(f"{corner}\n{down}\n{down}"), 3, "dark")
        lines = [shape for shape in found if isinstance(shape, Rectangle)]
        left = sorted(shape.top for shape in lines if shape.width < 1 and shape.left < 1 and shape.height > thick)
        ends = sorted(shape.top + shape.height for shape in lines if shape.left < 1 and shape.height > thick)
        assert left[1:] == pytest.approx(ends[:-1]) and ends[-1] == pytest.approx(3)
        assert {round(shape.height, 3) for shape in lines if shape.width > 1} == {thick}
    found, _ = shapes(Text("╌┈"), 2, "dark")
    assert [shape.width for shape in found if isinstance(shape, Rectangle)] == [0.25] * 2 + [0.125] * 4


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine that has no fonts but the one that comes with Pillow."""
    kept = (png_module._drawn_as, png_module._first_font, png_module._other_fonts)
    monkeypatch.setattr(png_module, "_FONTS", ())
    monkeypatch.setattr(png_module, "_OTHERS", ())
    for cached in kept:
        cached.cache_clear()
    yield
    for cached in kept:
        cached.cache_clear()


def test_a_png_says_which_characters_no_font_has_and_shows_their_numbers(no_fonts: None) -> None:
    notes: list[str] = []
    drawn = Image.open(io.BytesIO(png(Text("a你b🙂c"), 8, "light", notes.append))).convert("L")
    assert notes == [
        "no font here has 你 (U+4F60), 🙂 (U+1F642): the PNG has signs like them, or their numbers; "
        "a saved .svg or .html keeps them"
    ]
    dark = {column: _ink(drawn, column) for column in range(8)}
    framed = {column for column, rows in dark.items() if 2 in rows and CELL_HEIGHT - 4 in rows}
    assert framed == {1, 2, 4, 5}
    assert all(dark[column] for column in (0, 3, 6)) and not dark[7]
    plain = Image.open(io.BytesIO(png(Text("a  b  c"), 8, "light", notes.append))).convert("L")
    assert len(notes) == 1
    for column in (0, 3, 6):
        box = (MARGIN + column * CELL_WIDTH, 0, MARGIN + (column + 1) * CELL_WIDTH, drawn.height)
        assert drawn.crop(box).tobytes() == plain.crop(box).tobytes(), "the other letters stay in their columns"
    png(Text("".join(map(chr, range(0x4E00, 0x4E09)))), 20, "dark", notes.append)
    assert "丄 (U+4E04) and 4 more" in notes[1]
    assert png(Text("你"), 8, "light") != png(Text("好"), 8, "light"), "each has its own number"
    assert png(Text("− → ⟨é⟩"), 8, "light", notes.append) == png(Text("- > (e)"), 8, "light")
    assert "no font here has − (U+2212), → (U+2192), ⟨ (U+27E8), é (U+00E9), ⟩ (U+27E9): " in notes[2]


def _ink(image: Image.Image, column: int) -> set[int]:
    """The rows of a column's cells in which something is drawn, from the top of the text."""
    left, top = MARGIN + column * CELL_WIDTH + 2, MARGIN
    return {
        y
        for y in range(CELL_HEIGHT)
        if any(image.getpixel((left + x, top + y)) < 200 for x in range(CELL_WIDTH - 4))  # type: ignore[operator]
    }


def test_a_mark_stands_on_its_letter() -> None:
    composed, apart = (png(Text(text), 4, "light") for text in ("é", "e\u0301"))
    assert composed == apart
