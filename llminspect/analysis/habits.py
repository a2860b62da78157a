"""What a head does over a corpus: each measure of its attention, piece by piece, with its mean and its spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.corpus import Corpus, CorpusRead
from llminspect.analysis.passes import run_until
from llminspect.arguments.option import usual_of
from llminspect.arguments.parts import CorpusOptions
from llminspect.core.array import Array
from llminspect.core.attention_measures import MEASURES, habit, measure_all
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Visit
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.core.intervention import Place


@dataclass(frozen=True)
class HabitSpread:
    """A measure over the pieces that have a place to measure it."""

    measure: str
    definition: str
    mean: float
    std: float
    """The standard deviation from piece to piece (divided by n − 1)."""
    low: float
    """The ends of the 95% interval of the mean: 1.96 standard errors from it."""
    high: float
    count: int
    """How many pieces."""


@dataclass(frozen=True)
class HeadHabits:
    """What a head does over a corpus."""

    habit: str
    """What it is called by its means, as in `attend`."""
    named: dict[str, int]
    """In how many pieces it would be called so."""
    measures: list[HabitSpread]
    read: CorpusRead


def head_habits(
    model: Model, place: Place, options: CorpusOptions, progress: Callable[[int, int], object] | None = None
) -> HeadHabits:
    """The measures of `attend` for one head, in each piece of a corpus; the passes end at the head's layer.

    Raises UserError where the corpus cannot be read, UsageError for a model without a tokenizer.
    """
    assert options.corpus is not None
    length, most = usual_of(options, "length"), usual_of(options, "most")
    corpus = Corpus(model, options.corpus, length, most, progress)
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    named: dict[str, int] = {}
    for piece in corpus.pieces():
        measured = _measured(model, place, piece.ids)
        for name, value in measured.items():
            if math.isfinite(value):
                found[name].append(value)
        called = habit(measured)
        named[called] = named.get(called, 0) + 1
    spreads = [spread(name, values) for name, values in found.items() if values]
    means = {name: float("nan") for name in MEASURES} | {entry.measure: entry.mean for entry in spreads}
    return HeadHabits(habit(means), dict(sorted(named.items(), key=lambda entry: -entry[1])), spreads, corpus.read())


def _measured(model: Model, place: Place, ids: Sequence[int]) -> dict[str, float]:
    """Every measure of the head in one text."""
    kept: list[Array] = []
    name = f"layers.{place.layer}.attention.weights"
    run_until(model, ids, Visit(lambda _, weights_HTS: kept.append(weights_HTS[place.head].copy()), name), [name])
    window = model.config.window_of(place.layer)
    window = window if window is not None and window < len(ids) else None
    values = measure_all(kept[0], np.asarray(ids), model.config.causal, window)
    return {name: float(value) for name, value in values.items()}


def spread(measure: str, values: Sequence[float]) -> HabitSpread:
    """The mean of some values, and how sure it is."""
    mean, count = float(np.mean(values)), len(values)
    std = float(np.std(values, ddof=1)) if count > 1 else float("nan")
    margin = 1.96 * std / math.sqrt(count)
    return HabitSpread(measure, MEASURES[measure].definition, mean, std, mean - margin, mean + margin, count)
