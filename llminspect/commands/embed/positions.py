"""How the position code looks: `embed --positions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.position_codes import Positions


def positions_view(positions: Positions) -> RenderableType:
    """The code as a heatmap: a row a position."""
    import numpy as np
    from rich.text import Text

    from llminspect.render.heatmap import heatmap
    from llminspect.render.section import section
    from llminspect.render.theme import QUIET

    rows, columns = positions.code.shape
    if positions.kind == "added":
        shown, name = positions.code, "value"
        title = f"The position code: {rows} vectors of {columns} numbers, added to those of the tokens"
        said = "Each row is what is added to a token for standing there, whichever token it is."
    else:
        shown, name = np.cos(positions.code), "cosine of the angle"
        title = f"The rotary position code: {rows} positions × {columns} pairs of numbers"
        paired = "i and i + P" if positions.pairs == "halves" else "2i and 2i + 1"
        said = (
            f"Each pair of numbers of a query and a key ({paired}; P = {columns}) is turned by an angle that grows "
            "with the position: fast in the first pairs, which tell near places apart, slowly in the last, which tell "
            f"far ones apart. Measured in layer {positions.layer}; the tokens' own vectors stay as they are."
        )
    drawn = heatmap(
        shown,
        title=title,
        scale="diverging",
        limits=(-1, 1) if positions.kind == "rotary" else "robust",
        fold="thin",
        row_name="positions",
        column_name="pairs" if positions.kind == "rotary" else "dimensions",
        value_name=name,
        max_rows=32,
        numbers=False,
    )
    return section("", drawn, Text(said, QUIET))
