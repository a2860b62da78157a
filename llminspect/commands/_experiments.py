"""`--ablate`, `--scale`, `--steer`: from the command line to taps. They compose: ablate, then scale, then steer.

Shared by every command that runs a model and can show what a change does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.core.intervention import Place
    from llminspect.core.tap import Tap
    from llminspect.model import Model

MEASURED = 512
"""Tokens of a text that say how long its stream is."""


@dataclass(frozen=True)
class ExperimentOptions:
    """Changes to the running model."""

    ablate: Annotated[
        list[str] | None,
        typer.Option("--ablate", metavar="L.H", help="Silence a head 3.2, or 3.attention, 3.feedforward; repeatable."),
    ] = None
    ablate_with: Annotated[
        Literal["zero", "mean"],
        typer.Option("--ablate-with", help="What an ablated part gives: nothing, or its mean over the text."),
    ] = "zero"
    scale: Annotated[
        list[str] | None,
        typer.Option("--scale", metavar="L.H*X", help="Multiply a head, attention or feedforward: 3.2*0.5."),
    ] = None
    steer: Annotated[
        list[str] | None,
        typer.Option("--steer", metavar="EXPR@L*X", help='Add a direction behind layer L: "London - Paris@10*1".'),
    ] = None

    @property
    def asked(self) -> bool:
        return bool(self.ablate or self.scale or self.steer)


@dataclass(frozen=True)
class Experiment:
    """One change that was made."""

    kind: Literal["ablate", "scale", "steer", "patch"]
    where: str
    what: str
    length: float | None = None
    """Of a direction: how many times as long it is as the stream that it is added to (the median of the text's)."""


def parse_place(model: Model, text: str, option: str, *, stream: bool = False) -> Place:
    """`3.2`, `3.attention`, `3.feedforward` (and with `stream` `3.stream`). Raises UsageError for what is not there."""
    from llminspect.commands._words import check_exists
    from llminspect.core.intervention import Place

    forms = "3.2 (layer 3, head 2), 3.attention, 3.feedforward" + (" or 3.stream" if stream else "")
    layer_text, _, part = text.strip().partition(".")
    parts = {"attention": "attention", "feedforward": "feedforward", **({"stream": "stream"} if stream else {})}
    if not layer_text.isdecimal() or not (part.isdecimal() or part in parts):
        raise UsageError(f"{option} {text!r} is not a part of the model", f"write {forms}")
    layer, sizes = int(layer_text), model.config.sizes
    check_exists(layer, sizes.L, "layer")
    if part.isdecimal():
        check_exists(int(part), sizes.H, "head")
        return Place(layer, "head", int(part))
    if part == "attention" and not sizes.H:
        raise UsageError(f"{option} {text!r}: {model.name} has no attention")
    if part == "feedforward" and not sizes.F:
        raise UsageError(f"{option} {text!r}: {model.name} has no feed-forward step")
    return Place(layer, parts[part])  # type: ignore[arg-type]


def experiment_taps(model: Model, options: ExperimentOptions, ids: Sequence[int]) -> tuple[list[Tap], list[Experiment]]:
    """The taps that do what the options ask, and what they are. `ids` is the text over which `mean` is taken."""
    if options.ablate_with != "zero" and not options.ablate:
        raise UsageError("--ablate-with says nothing without --ablate", "give --ablate as well")
    taps: list[Tap] = []
    done: list[Experiment] = []
    places = [parse_place(model, part, "--ablate") for entry in options.ablate or [] for part in entry.split(",")]
    taps += _ablations(model, places, options.ablate_with, ids)
    done += [Experiment("ablate", str(place), options.ablate_with) for place in places]
    for entry in options.scale or []:
        from llminspect.core.intervention import scaled

        place_text, factor = _times(entry, "--scale", "3.2*0.5")
        place = parse_place(model, place_text, "--scale")
        taps.append(scaled(place, factor))
        done.append(Experiment("scale", str(place), f"× {factor:g}"))
    steered = _steerings(model, options.steer or [], ids)
    return [*taps, *(tap for tap, _ in steered)], [*done, *(experiment for _, experiment in steered)]


def _ablations(model: Model, places: Sequence[Place], instead: str, ids: Sequence[int]) -> list[Tap]:
    from llminspect.core.intervention import replaced
    from llminspect.core.tap import Capture

    if instead == "zero" or not places:
        return [replaced(place, 0.0) for place in places]
    capture = Capture(*(place.tap for place in places))
    model.run(ids, capture)
    return [replaced(place, capture[place.tap][place.index(slice(None))].mean(axis=-2)) for place in places]


def _times(text: str, option: str, example: str) -> tuple[str, float]:
    place, star, factor = text.rpartition("*")
    try:
        return place, _finite(factor if star else "")
    except ValueError:
        raise UsageError(f"{option} {text!r} does not end in a factor", f"for example {option} {example}") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _steerings(model: Model, texts: Sequence[str], ids: Sequence[int]) -> list[tuple[Tap, Experiment]]:
    """The directions as taps, each measured by the stream of the text `ids` that it is added to."""
    import numpy as np

    from llminspect.core.intervention import added

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
    from contextlib import suppress

    import numpy as np

    from llminspect.core.tap import Capture, Enough, Until

    names = {place.tap for place in places}
    capture = Capture(*names)
    with suppress(Enough):
        model.run(ids, Until(capture, *names))
    with np.errstate(all="ignore"):
        return {place: float(np.median(np.linalg.norm(capture[place.tap], axis=-1))) for place in places}


def _direction(model: Model, text: str) -> tuple[Place, Array, str]:
    """`London - Paris@10*2`: where, twice the difference of the two streams behind layer 10 [D], and how it is told."""
    import numpy as np

    from llminspect.commands._words import check_exists
    from llminspect.core.intervention import Place

    example = '--steer "London - Paris@10*1"'
    found = re.fullmatch(r"\s*[\"']?(.+?)[\"']?\s*@\s*(\d+)\s*(?:\*\s*([+-]?[\d.]+(?:e[+-]?\d+)?))?\s*", text)
    if found is None:
        raise UsageError(f"--steer {text!r} does not say words@layer*factor", f"for example {example}")
    expression, layer = found[1], int(found[2])
    check_exists(layer, model.config.sizes.L, "layer")
    try:
        factor = _finite(found[3] or "1")
    except ValueError:
        raise UsageError(f"--steer: {found[3]!r} is not a number", f"for example {example}") from None
    place = Place(layer, "stream")
    signs = signed_words(expression)
    parts = [sign * _stream_of(model, word, place) for sign, word in signs]
    with np.errstate(over="ignore"):  # The logits say so.
        direction_D = factor * np.sum(parts, axis=0)
    return place, direction_D, f"{expression} × {factor:g}"


def signed_words(expression: str) -> list[tuple[int, str]]:
    """`king - man + woman` as [(1, "king"), (−1, "man"), (1, "woman")]; a sign is one between spaces, or the first."""
    parts = re.split(r"(?:^|\s+)([+-])\s+", expression.strip())
    first = [(1, parts[0])] if parts[0] else []
    rest = [(1 if sign == "+" else -1, word) for sign, word in zip(parts[1::2], parts[2::2], strict=True)]
    words = [(sign, word.strip()) for sign, word in [*first, *rest]]
    if not all(word for _, word in words) or not words:
        raise UsageError(f"{expression!r} is not words with + and − between them", 'for example "London - Paris"')
    return words


def _stream_of(model: Model, word: str, place: Place) -> Array:
    """The stream [D] behind a layer at the last token of `word`, as in mid-text: behind BOS, with a space in front
    where that is how the vocabulary has it."""
    from llminspect.core.tap import Capture

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
