"""`embed --positions`: what a model adds to a token for where it stands."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from llminspect.analysis.documents import Dims
from llminspect.core.rotary import measured_rotation
from llminspect.core.tap import Capture, Enough, Until
from llminspect.errors import UserError

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.opened import Model

FEWEST, MOST = 32, 512
"""Positions that are looked at, however short or long the text is."""


@dataclass(frozen=True)
class PositionCode:
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


def position_code_of(model: Model, tokens: int) -> PositionCode:
    """Read the position code off a pass over one token repeated, so that nothing but the place differs.

    Raises UserError for a model that adds none where it can be seen.
    """
    count = min(max(tokens, FEWEST), MOST, model.config.sizes.context)
    layers, ids = model.config.sizes.L, [0] * count
    kept = Capture("embedding.position*", "layers.*.attention.query", "layers.*.attention.query.*", optional=True)
    with suppress(Enough):
        model.run(ids, Until(kept, "layers.3.attention.query"))
    added = [array for name, array in kept.arrays.items() if name.startswith("embedding.position")]
    if added:
        return PositionCode("added", added[0])
    for layer in range(min(layers, 4)):
        name = f"layers.{layer}.attention.query"
        before = kept.arrays.get(f"{name}.normed", kept.arrays.get(f"{name}.projected"))
        found = None if before is None or name not in kept.arrays else measured_rotation(before, kept[name])
        if found is not None:
            return PositionCode("rotary", found.angles_TP, layer, found.layout)
    raise UserError(f"{model.name} adds nothing to a token for its position", "its attention may add it to the scores")
