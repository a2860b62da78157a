"""How experiments are told, before what they changed: by `forward` and by `generate`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.text import Text

from llminspect.core.numbers import number
from llminspect.render import theme
from llminspect.render.safe import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.experiments import Experiment

DROWNS = 4
"""Times the stream's own length from which on little of the stream is left in the sum."""


def experiments_made(experiments: Sequence[Experiment]) -> list[Text]:
    """What was done, and for each direction that was added how long it is beside what it was added to."""
    made = ", ".join(f"{entry.kind} {entry.where} ({entry.what})" for entry in experiments)
    measured = [(entry.where, entry.length) for entry in experiments if entry.length is not None]
    lengths = [_length(where, length) for where, length in measured if math.isfinite(length)]
    return [Text(visible(made), theme.TITLE), *lengths]


def _length(where: str, length: float) -> Text:
    layer = where.partition(".")[0]
    said = f"the direction is {number(length, 2)} times as long as the stream behind layer {layer}"
    return Text(said + (" and drowns it" if length >= DROWNS else ""), theme.QUIET)
