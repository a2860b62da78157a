"""`--ablate`, `--scale`, `--steer`: from the command line to taps. They compose: ablate, then scale, then steer.

Shared by every command that runs a model and can show what a change does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from llminspect.arguments.places import each, parse_place
from llminspect.arguments.ranges import check_exists, shortened
from llminspect.arguments.sums import parse_direction, parse_factor
from llminspect.core.intervention import Place, added, replaced, scaled
from llminspect.core.tap import Capture, Enough, Until
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.arguments.experiments import ExperimentOptions
    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model

MEASURED = 512
"""Tokens of a text that say how long its stream is."""


@dataclass(frozen=True)
class Experiment:
    """One change that was made."""

    kind: Literal["ablate", "scale", "steer", "patch"]
    where: str
    what: str
    length: float | None = None
    """Of a direction: how many times as long it is as the stream that it is added to (the median of the text's)."""


def experiment_taps(model: Model, options: ExperimentOptions, ids: Sequence[int]) -> tuple[list[Tap], list[Experiment]]:
    """The taps that do what the options ask, and what they are. `ids` is the text over which `mean` is taken."""
    if options.ablate_with != "zero" and not options.ablate:
        raise UsageError("--ablate-with says nothing without --ablate", "give --ablate as well")
    taps: list[Tap] = []
    done: list[Experiment] = []
    places = [parse_place(model, part, "--ablate") for entry in each(options.ablate) for part in entry.split(",")]
    taps += _ablations(model, places, options.ablate_with, ids)
    done += [Experiment("ablate", str(place), options.ablate_with) for place in places]
    for entry in each(options.scale):
        place_text, factor = _times(entry, "--scale", "3.2*0.5")
        place = parse_place(model, place_text, "--scale")
        taps.append(scaled(place, factor))
        done.append(Experiment("scale", str(place), f"× {factor:g}"))
    steered = _steerings(model, each(options.steer), ids)
    return [*taps, *(tap for tap, _ in steered)], [*done, *(experiment for _, experiment in steered)]


def _ablations(model: Model, places: Sequence[Place], instead: str, ids: Sequence[int]) -> list[Tap]:

    if instead == "zero" or not places:
        return [replaced(place, 0.0) for place in places]
    capture = Capture(*(place.tap for place in places))
    model.run(ids, capture)
    return [replaced(place, capture[place.tap][place.index(slice(None))].mean(axis=-2)) for place in places]


def _times(text: str, option: str, example: str) -> tuple[str, float]:
    place, _, factor_text = text.rpartition("*")
    factor = parse_factor(factor_text) if place else None
    if factor is None:
        raise UsageError(f"{option} {shortened(text)!r} does not end in a factor", f"for example {option} {example}")
    return place, factor


def _steerings(model: Model, texts: Sequence[str], ids: Sequence[int]) -> list[tuple[Tap, Experiment]]:
    """The directions as taps, each measured by the stream of the text `ids` that it is added to."""

    if not texts:
        return []
    directions = [_direction(model, text) for text in texts]
    usual = _usual_lengths(model, [place for place, _, _ in directions], ids[:MEASURED])
    found: list[tuple[Tap, Experiment]] = []
    for place, direction_D, what in directions:
        with np.errstate(all="ignore"):  # A direction that overflows is one of the logits' own errors.
            length = float(np.linalg.norm(direction_D.astype(np.float64)) / usual[place])
        found.append((added(place, direction_D), Experiment("steer", str(place), what, length)))
    return found


def _usual_lengths(model: Model, places: Sequence[Place], ids: Sequence[int]) -> dict[Place, float]:
    """The median length of the stream's vectors at each place: the first token's may be many times as long."""

    names = {place.tap for place in places}
    capture = Capture(*names)
    with suppress(Enough):
        model.run(ids, Until(capture, *names))
    with np.errstate(all="ignore"):
        return {place: float(np.median(np.linalg.norm(capture[place.tap], axis=-1))) for place in places}


def _direction(model: Model, text: str) -> tuple[Place, Array, str]:
    """`London - Paris@10*2`: where, twice the difference of the two streams behind layer 10 [D], and how it is told."""

    expression, terms, layer, factor = parse_direction(text)
    check_exists(layer, model.config.sizes.L, "layer")
    place = Place(layer, "stream")
    parts = [weight * _stream_of(model, word, place) for weight, word in terms]
    with np.errstate(over="ignore"):  # The logits say so.
        direction_D = factor * np.sum(parts, axis=0)
    return place, direction_D, f"{expression} × {factor:g}"


def _stream_of(model: Model, word: str, place: Place) -> Array:
    """The stream [D] behind a layer at the last token of `word`, as in mid-text: behind BOS, with a space in front
    where that is how the vocabulary has it."""

    tokenizer = model.tokenizer
    if tokenizer is None:
        raise UsageError("--steer takes words; this model comes without a tokenizer")
    try:
        ids = tokenizer.encode_ids(f" {word}")
    except UsageError:
        ids = []
    if len(ids) != 1:
        ids = tokenizer.encode_ids(word)
    front = list(tokenizer.prefix_ids) or ([] if tokenizer.bos_id is None else [tokenizer.bos_id])
    capture = Capture(place.tap)
    model.run([*front, *ids], capture)
    stream_D: Array = capture[place.tap][-1]
    return stream_D
