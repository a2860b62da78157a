"""Colours in one place. Every coloured cell brings its own background and a foreground that contrasts with it, so
that it reads the same on a dark and on a light terminal; everything else uses the terminal's own colours."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style

Scale = Literal["sequential", "diverging"]
"""`sequential` runs from low to high (viridis); `diverging` from negative over zero to positive (cool to warm)."""

RGB = tuple[int, int, int]

# viridis: perceptually uniform and safe for colour-blind readers (Smith and van der Walt, 2015), every tenth of it.
_SEQUENTIAL = "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725"
# The diverging map of Moreland, "Diverging Color Maps for Scientific Visualization" (2009), every eighth of it.
_DIVERGING = "3b4cc0 6282ea 8db0fe b8d0f9 dddddd f5c4ad f49a7b de604d b40426"

TITLE = Style(bold=True)
HEADER = Style(bold=True)
QUIET = Style()
"""What explains or stands beside the numbers. Not dim: half of a terminal's own colour contrasts too little."""
LINE = Style(dim=True)
"""Rules, axes, guides: lines, which need less contrast than letters."""
STRONG = Style(bold=True)
NAME = Style(italic=True)
CHOSEN = Style(bold=True)
"""What was taken, among others. No colour contrasts enough, as letters, with a dark background and with a light one."""
WARNING = Style(bold=True)
"""What a reader must mind."""
BAR = Style(color="#3a87c8")
BAR_CHOSEN = Style(color="#cf7222", bold=True)
POSITIVE = Style(color="#d1603d")
NEGATIVE = Style(color="#4a78d6")

_INK = "#1a1a1a"
TOKENS = tuple(Style(color=_INK, bgcolor=f"#{tone}") for tone in ("c9bdf2", "b9e4c1", "f6dfa4", "f3bcb4", "b4dcf0"))
"""Neighbouring tokens take these in turn."""
TOKEN_SPECIAL = Style(color="#ffffff", bgcolor="#4b4b57", bold=True)
TOKEN_PARTIAL = Style(color=_INK, bgcolor="#ff9a4d")
TOKENS_TEMPLATE = (Style(color=_INK, bgcolor="#c9c9cf"), Style(color=_INK, bgcolor="#b5b5bd"))
TOKENS_SPECIAL = (TOKEN_SPECIAL, Style(color="#ffffff", bgcolor="#5f5f6e", bold=True))
TOKENS_PARTIAL = (TOKEN_PARTIAL, Style(color=_INK, bgcolor="#ffb67d"))
"""Neighbours take these in turn as well."""

_POINT_TONES = ("3a87c8", "cf7222", "289050", "c8507e", "8a6fd1", "8f8f3a")
POINTS = tuple(Style(color=f"#{tone}", bold=True) for tone in _POINT_TONES)
"""Groups of points in a scatter take these in turn: mid tones, readable on black and on white."""

STEPS = 255
"""A ramp has this many steps, so that its styles are made once."""

SHADES = " ░▒▓█"
"""A ramp where there is no colour: from nothing to full."""
SHADES_NEGATIVE = " ⠂⠒⠶⠿"
"""Its other half where values have a sign: dots for negative, shades for positive."""


def has_colors(console: Console) -> bool:
    """Whether `console` shows enough colours for a ramp: at least 256. With 16 a ramp would lie, so there is none."""
    return console.color_system in ("256", "truecolor") and not console.no_color


_IN_256 = {
    "sequential": (53, 54, 55, 24, 25, 30, 36, 72, 77, 113, 149, 184, 220),
    "diverging": (19, 21, 27, 69, 111, 153, 254, 217, 210, 203, 160, 124, 88),
}
"""The ramps in the 256 colours of a terminal, each colour for as long a part of a ramp. The nearest of these colours
would be now lighter and now darker along a ramp, now violet and now blue. Each half of the diverging one keeps its hue,
and its six steps from the grey in the middle are as even, to the eye, as these colours allow: as far from the middle on
both sides they are about as strong."""


class _OfRamp(Color):
    """A colour of a ramp, or of what is written on it, with the one that terminals of 256 colours have for it."""

    in_256: int

    def downgrade(self, system: ColorSystem) -> Color:  # type: ignore[override]
        return Color.from_ansi(self.in_256) if system is ColorSystem.EIGHT_BIT else super().downgrade(system)


def _of_ramp(color: RGB, in_256: int) -> Color:
    made = _OfRamp(*Color.from_rgb(*color))
    made.in_256 = in_256
    return made


def ramp_color(scale: Scale, position: float) -> Color:
    """The colour at `position` of a ramp as rich takes it."""
    in_256 = _IN_256[scale]
    return _of_ramp(ramp(scale, position), in_256[round(position * (len(in_256) - 1))])


BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def _ink_on(under: Color) -> Color:
    """Black or white, whichever contrasts more with a colour of a ramp; in 256 colours with the one that is there."""
    exact, in_256 = (needs_black(luminance(_rgb(color))) for color in (under, under.downgrade(ColorSystem.EIGHT_BIT)))
    return _of_ramp(BLACK if exact else WHITE, 16 if in_256 else 231)


def _rgb(color: Color) -> RGB:
    red, green, blue = color.get_truecolor()
    return red, green, blue


def needs_black(light: float) -> bool:
    """Whether black contrasts more than white with a colour of that luminance (WCAG 2)."""
    return (light + 0.05) / 0.05 > 1.05 / (light + 0.05)


@lru_cache(maxsize=4)
def _anchors(scale: Scale) -> tuple[RGB, ...]:
    codes = (_DIVERGING if scale == "diverging" else _SEQUENTIAL).split()
    return tuple((int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in codes)


def ramp(scale: Scale, position: float) -> RGB:
    """The colour at `position` in [0, 1] of a ramp; positions outside are clipped."""
    anchors = _anchors(scale)
    place = min(max(position, 0.0), 1.0) * (len(anchors) - 1)
    left = min(int(place), len(anchors) - 2)
    share = place - left
    red, green, blue = (
        round(low + share * (high - low)) for low, high in zip(anchors[left], anchors[left + 1], strict=True)
    )
    return red, green, blue


def cell_style(scale: Scale, position: float) -> Style:
    """Background at `position` of a ramp, with black or white on it, whichever contrasts more."""
    return _cell_style(scale, round(min(max(position, 0.0), 1.0) * STEPS))


def ink_style(scale: Scale, position: float, under: float | None = None) -> Style:
    """The colour at `position` as a foreground, on that of `under` or on the terminal's own background: the same as
    `cell_style` has there."""
    color, paper = (None if place is None else cell_style(scale, place).bgcolor for place in (position, under))
    return Style(color=color, bgcolor=paper)


@lru_cache(maxsize=1024)
def _cell_style(scale: Scale, step: int) -> Style:
    under = ramp_color(scale, step / STEPS)
    return Style(color=_ink_on(under), bgcolor=under)


def luminance(color: RGB) -> float:
    """Relative luminance of an sRGB colour, from 0 (black) to 1 (white), as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def shade(scale: Scale, position: float) -> str:
    """The character that stands for `position` in [0, 1] where there is no colour."""
    position = min(max(position, 0.0), 1.0)
    if scale == "sequential":
        return SHADES[round(position * 4)]
    signed = round((position - 0.5) * 8)
    return SHADES[signed] if signed >= 0 else SHADES_NEGATIVE[-signed]
