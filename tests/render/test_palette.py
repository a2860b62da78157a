"""Lines, bars and borders contrast with what they stand on by 3 to 1 at least (WCAG 2, 1.4.11), in either theme."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from rich.console import Console
from rich.style import Style

from llminspect import render
from llminspect.render import theme
from llminspect.render.cells import Theme
from llminspect.render.curve import Series, series
from tests.commands.test_looks import COLORS, GRAPHICS, LETTERS, contrast, shown_colors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.color import ColorSystem

    from llminspect.render.theme import RGB

DRAWING = (theme.LINE, theme.BAR, theme.BAR_CHOSEN, theme.POSITIVE, theme.NEGATIVE, *theme.POINTS)
PAGES = Path(render.__file__).parent / "page"
CSS, SCRIPTS = (
    "\n".join(path.read_text("utf-8") for path in sorted(PAGES.glob(f"*.{kind}"))) for kind in ("css", "js")
)
COLOR = r"--(\w+): #([0-9a-f]{6})"
DRAWN = re.compile(r"(?:border(?:-\w+)?|outline|stroke|fill|background|accent-color): (?:[\w.]+ )*var\(--(\w+)\)")
"""What is drawn with a colour of its theme."""


def _rgb(code: str) -> RGB:
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


_RULES = [dict(re.findall(COLOR, rule)) for rule in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)]
THEMES_OF_PAGES = [{name: _rgb(code) for name, code in colors.items()} for colors in _RULES if colors]
"""Light, dark, printed."""


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
    """Lines and borders, also those that are seen through; each cell of a ramp has a border."""
    used = set(DRAWN.findall(CSS)) - {"paper"}
    assert len(THEMES_OF_PAGES) == 3
    assert used >= {"accent", "mark", "weak", "ink"}
    least = min(map(float, re.findall(r"opacity: ([\d.]+)", CSS)))
    for colors in THEMES_OF_PAGES:
        for name in used:
            seen = _mixed(colors[name], colors["paper"], least if name in ("accent", "mark") else 1)
            assert contrast(seen, colors["paper"]) >= GRAPHICS, (name, colors[name])
    for element in (r"\.cell", r"\.token"):
        assert re.search(element + r" \{[^}]*border: 1px solid var\(--weak\)", CSS)


def test_letters_on_the_ramp_of_a_page_can_be_read_at_every_share() -> None:
    """Black or white, whichever the share asks for; the two ends of the ramp are told apart as well."""
    turns = {name: float(turn) for name, turn in re.findall(r"(middle|high): ([\d.]+)", SCRIPTS)}
    lowest = {int(share) for share in re.findall(r"color-mix\(in srgb, var\(--line\) (\d+)%, var\(--paper\)\)\)", CSS)}
    assert turns and lowest == {35, 45}
    for colors in THEMES_OF_PAGES:
        for share_of_line in lowest:
            low = _mixed(colors["line"], colors["paper"], share_of_line / 100)
            assert contrast(low, colors["accent"]) >= GRAPHICS
            for share in np.linspace(0, 1, 1001):
                name = next((name for name in ("high", "middle") if share > turns[name]), "low")
                assert contrast(colors[name], _mixed(colors["accent"], low, share)) >= LETTERS, (name, share)


def _mixed(one: RGB, other: RGB, share: float) -> RGB:
    """`color-mix(in srgb, one share, other)`."""
    red, green, blue = (a * share + b * (1 - share) for a, b in zip(one, other, strict=True))
    return red, green, blue  # type: ignore[return-value]


def test_places_are_named_in_equal_steps_and_the_last_with_them() -> None:
    """Of thirty layers in thirty columns every fifth has a name."""
    line = Series("●", Style(), "mean", [0.5] * 30)
    for cells, named in ((34, "0    5    10   15   20   25 29"), (70, "0   2   4   6   8   10  12  14")):
        drawn = series([line], [str(layer) for layer in range(30)], axis="layer", limits=(0, 1))
        console = Console(width=cells, file=io.StringIO())
        console.print(drawn)
        assert named in console.file.getvalue()  # type: ignore[attr-defined]
