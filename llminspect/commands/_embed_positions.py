"""`embed --positions`: what a model adds to a token for where it stands."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from llminspect.commands._documents import Dims
from llminspect.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.core.array import Array
    from llminspect.model import Model

FEWEST, MOST = 32, 512
"""Positions that are looked at, however short or long the text is."""


@dataclass(frozen=True)
class Positions:
    """The position code by itself, a row a position.

    added: the vectors that are added to those of the tokens. rotary: the angle in radians by which each pair of numbers
    of a query and a key is turned, in (−π, π].
    """

    kind: Literal["added", "rotary"]
    code: Annotated[Array, Dims("T P")]
    layer: int | None = None
    """Of a rotary code: the layer that it was measured in."""
    pairs: Literal["halves", "interleaved"] | None = None
    """Which numbers make a pair: i and i + P, or 2i and 2i + 1."""


def positions_of(model: Model, tokens: int) -> Positions:
    """Read the position code off a pass over one token repeated, so that nothing but the place differs.

    Raises UserError for a model that adds none where it can be seen.
    """
    from llminspect.core.position_code import measured_rotation
    from llminspect.core.tap import Capture, Enough, Until

    count = min(max(tokens, FEWEST), MOST, model.config.sizes.context)
    layers, ids = model.config.sizes.L, [0] * count
    kept = Capture("embedding.position*", "layers.*.attention.query", "layers.*.attention.query.*")
    with suppress(Enough):
        model.run(ids, Until(kept, "layers.3.attention.query"))
    added = [array for name, array in kept.arrays.items() if name.startswith("embedding.position")]
    if added:
        return Positions("added", added[0])
    for layer in range(min(layers, 4)):
        name = f"layers.{layer}.attention.query"
        before = kept.arrays.get(f"{name}.normed", kept.arrays.get(f"{name}.projected"))
        found = None if before is None or name not in kept.arrays else measured_rotation(before, kept[name])
        if found is not None:
            return Positions("rotary", found.angles_TP, layer, found.layout)
    raise UserError(f"{model.name} adds nothing to a token for its position", "its attention may add it to the scores")


def picture(positions: Positions) -> RenderableType:
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
