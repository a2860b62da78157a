"""How a query, a key and a value come from the stream, and how positions turn them, as hands of a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.numbers import number, vector
from llminspect.render.clock import Clock, Hand, clocks
from llminspect.render.safe import label
from llminspect.render.section import section, steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from llminspect.analysis.into_attention import IntoAttention, Turn
    from llminspect.analysis.query import Query


def into_attention_parts(made: IntoAttention, query: Query, labels: list[str]) -> Iterator[RenderableType]:
    """The sums, then the pairs of numbers that turn."""
    rows = []
    for step in made.steps:
        value = np.asarray(step.value)
        shown = number(value.item()) if value.ndim == 0 else vector(value, 4)
        name, of, index = step.name.partition(" of token ")
        name += f" of {label(labels[int(index)])}" if of else ""
        parts = (name, step.formula, step.with_numbers, shown)
        rows.append([part for part in parts if part is not None])
    yield steps(rows, title="From the stream to q, k and v")
    for turn in made.turns:
        yield _turned(turn, query.index, label(labels[turn.key_index]))


def _turned(turn: Turn, index: int, name: str) -> RenderableType:
    first, second = turn.numbers
    before = [Hand("q", *map(float, turn.query_before)), Hand("k", *map(float, turn.key_before))]
    after = [Hand("q", *map(float, turn.query_after)), Hand("k", *map(float, turn.key_after))]
    title = f"q turned {index} ×, k {turn.key_index} ×"
    by, distance = number(turn.degrees, 3), abs(index - turn.key_index)
    counts = f"changes by {distance} × {by}°: only how far apart the tokens stand counts"
    turned = f"Each position turns both by {by}°, anticlockwise, so that the angle between them {counts}."
    note = f"k is that of {name}. {turned} The pair adds {number(turn.score, 3)} to q · k."
    drawn = clocks([Clock("before the rotation", before), Clock(title, after)])
    return section(f"Numbers {first} and {second} of q and k, as hands of a clock", drawn, note=note)
