"""All heads at a glance: each measured, and named by what it does on this text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from llminspect.analysis.documents import Dims
from llminspect.core.attention_measures import MEASURES, habit

if TYPE_CHECKING:
    from llminspect.analysis.attention import WatchedAttention
    from llminspect.arguments.attend import MeasureName
    from llminspect.core.array import Array


@dataclass(frozen=True)
class Overview:
    """Every head by what it does on this text."""

    measure: MeasureName
    measures: dict[MeasureName, Annotated[Array, Dims("L H")]]
    habits: list[list[str]]
    """[L][H]: sink, previous, next, self, same, induction, diffuse or mixed."""
    definitions: dict[str, str]


def overview_of(seen: WatchedAttention, measure: MeasureName) -> Overview:

    measures = {name: np.stack(layers) for name, layers in seen.measures.items()}
    layers, heads = measures["entropy"].shape
    habits = [
        [habit({name: float(value_LH[layer, head]) for name, value_LH in measures.items()}) for head in range(heads)]
        for layer in range(layers)
    ]
    definitions = {name: entry.definition for name, entry in MEASURES.items()}
    return Overview(measure, measures, habits, definitions)  # type: ignore[arg-type]
