"""A session of `explore` as a moving picture: its screens one after another, in one SVG that needs nothing else.

It moves by CSS alone. Whoever has asked for less motion sees the last screen, still.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 3.2
"""Of each screen."""
LARGEST = 150_000
"""Bytes of the file."""


def movie(drawings: Sequence[str]) -> str:
    """One SVG of several of one size, each shown for its time, again and again.

    >>> one = '<svg width="9" height="9">\\n<rect/>\\n<g x="1">\\n<a/>\\n</g>\\n</svg>\\n'
    >>> movie([one, one]).count('<g class="screen s')
    2
    """
    opening, background = drawings[0].split("\n")[:2]
    count, whole = len(drawings), len(drawings) * SECONDS
    style = [
        f".screen {{ opacity: 0; animation: seen {whole:g}s step-end infinite }}",
        f"@keyframes seen {{ 0% {{ opacity: 1 }} {100 / count:.4g}% {{ opacity: 0 }} }}",
        *(f".s{number} {{ animation-delay: {number * SECONDS:g}s }}" for number in range(count)),
        f"@media (prefers-reduced-motion: reduce) {{ .screen {{ animation: none }} .s{count - 1} {{ opacity: 1 }} }}",
    ]
    made = [opening, "<style>", *style, "</style>", background]
    for number, drawing in enumerate(drawings):
        inside = drawing.split("\n", 2)[2].rstrip().removesuffix("</svg>").rstrip()
        made.append(f'<g class="screen s{number}">\n{_shorter(inside)}\n</g>')
    text = "\n".join([*made, "</svg>\n"])
    assert len(text.encode()) < LARGEST, f"the moving picture takes {len(text.encode()):,} bytes"
    return text


def _shorter(drawing: str) -> str:
    """The same without what every element says again."""
    drawing = drawing.replace(' lengthAdjust="spacingAndGlyphs"', "").replace(' shape-rendering="crispEdges"', "")
    return re.sub(r"<g font-family", '<g shape-rendering="crispEdges" font-family', drawing, count=1)
