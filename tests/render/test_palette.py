"""Lines, bars and borders contrast with what they stand on by 3 to 1 at least (WCAG 2, 1.4.11), in either theme."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from rich.console import Console
from rich.style import Style

from llminspect import render
from llminspect.render import theme
from llminspect.render.cells import Theme
from llminspect.render.curve import Series, series
from tests.commands.test_looks import COLORS, GRAPHICS, contrast, shown_colors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.color import ColorSystem

    from llminspect.render.theme import RGB

DRAWING = (theme.LINE, theme.BAR, theme.BAR_CHOSEN, theme.POSITIVE, theme.NEGATIVE, *theme.POINTS)
PAGES = sorted((Path(render.__file__).parent / "page").glob("*.css"))
COLOR = r"--(\w+): #([0-9a-f]{6})"
DRAWN = re.compile(r"(?:border(?:-\w+)?|outline|stroke|fill|background|accent-color): (?:[\w.]+ )*var\(--(\w+)\)")


@pytest.mark.parametrize("background", get_args(Theme))
@pytest.mark.parametrize("system", COLORS)
def test_what_is_drawn_contrasts_with_a_dark_and_a_light_terminal(system: ColorSystem, background: str) -> None:
    for style in (*DRAWING, *_of_intervals()):
        color = None if style.color is None else style.color.downgrade(system)
        assert contrast(*shown_colors(Style(color=color, dim=style.dim), background)) >= GRAPHICS, str(style)


def _of_intervals() -> Iterator[Style]:
    """The styles of the bars that say how sure a point is."""
    console = Console(width=60)
    for style in theme.POINTS:
        line = Series("●", style, "score", [0.5, 0.6], [(0.1, 0.9), (0.2, 0.9)])
        drawn = series([line], ["0", "1"], axis="layer", limits=(0, 1))
        for segment in console.render(drawn, console.options):
            if "│" in segment.text and segment.style and segment.style.color:
                yield segment.style


def test_what_is_drawn_on_a_page_contrasts_with_its_paper() -> None:
    """Of cells whose colour is their number (a share of the accent) the colour is what is shown, and has no least."""
    text = "\n".join(path.read_text("utf-8") for path in PAGES)
    themes = [dict(re.findall(COLOR, rule)) for rule in re.findall(r":root \{(.*?)\}", text, re.DOTALL)]
    themes = [colors for colors in themes if colors]
    used = set(DRAWN.findall(text)) - {"paper"}
    assert len(themes) == 3
    assert used >= {"accent", "mark", "weak", "ink"}
    assert "opacity" not in text
    for colors in themes:
        for name in used:
            assert contrast(_rgb(colors[name]), _rgb(colors["paper"])) >= GRAPHICS, (name, colors[name])


def _rgb(code: str) -> RGB:
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)
