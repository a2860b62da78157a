"""`probe`: what a linear probe reads of labels in the stream after each layer, beside labels that were shuffled.

Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes"; Hewitt and Liang 2019,
"Designing and Interpreting Probes with Control Tasks": the selectivity is what the probe finds beyond shuffled labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np

from llminspect.analysis.cross_attention import encoder_of
from llminspect.analysis.long_texts import noted_of_texts
from llminspect.analysis.probe_fit import Fitted, LayerScores, direction_of, fit_layer
from llminspect.analysis.probe_texts import ONE_SPLIT, LabelledTexts, fitting_folds, labelled_texts, parts_of, shuffled
from llminspect.analysis.result import Dims, Result
from llminspect.analysis.text_streams import EMBEDDING, streams_of
from llminspect.arguments.parts import ProbeOptions
from llminspect.arguments.ranges import parse_choice
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.opened import Model


@dataclass(frozen=True)
class ProbedPlace(LayerScores):
    """What a probe reads at one place."""

    layer: int | None = None
    """None before the first."""
    directions: Annotated[Array, Dims("K D")] | None = None
    """In Python and in the .npz: for each class (of numbers: for more of them) the direction in the stream, as long as
    the mean of the class lies from that of the others along it (of numbers: one standard deviation)."""


@dataclass(frozen=True)
class ClassCount:
    """A class."""

    label: str
    count: int


@dataclass(frozen=True)
class ProbeBaseline:
    """What one says without reading the texts."""

    accuracy: float | None = None
    label: str | None = None
    """The most frequent class, of which `accuracy` is the share among the held-out texts."""
    r2: float | None = None
    """Of the mean number: 0 by definition."""


@dataclass(frozen=True)
class ProbeResult(Result):
    """What the stream says of labels, layer by layer."""

    records: str | None
    """The file."""
    texts: int
    """Different ones."""
    held_out: int
    """How many of them were judged by a probe that had not seen them."""
    classes: list[ClassCount] | None
    folds: int
    """Into how many parts the texts are split …"""
    splits: int
    """… and how many of these were held out, each from a probe that learned from the others."""
    regression: Literal["logistic", "ridge"]
    penalty: float
    pool: str
    seed: int
    shuffles: int
    baseline: ProbeBaseline
    layers: list[ProbedPlace]
    best: int
    """The layer with the highest accuracy (of numbers: R²); of equal ones the first."""
    embedding: ProbedPlace | None = None
    """With all layers: the stream before the first."""


def probe(
    model: Model,
    records: Sequence[Mapping[str, Any]],
    options: ProbeOptions,
    progress: Callable[[str, int, int], object] | None = None,
    announce: Callable[[list[str]], object] | None = None,
) -> ProbeResult:
    """Fit probes to the streams of labelled texts. `progress` is told what is done, how much of it, and of how much;
    `announce` is given what is noted of long texts before anything is computed.

    Raises UsageError for layers that are not there, UserError for records that are none.
    """
    model = encoder_of(model) if model.can("source") else model
    layers = layers_at(model, options.at)
    texts = labelled_texts(model, records, options.labels)
    noted = noted_of_texts(model, (len(prompt.tokens) for prompt in texts.prompts))
    if announce is not None:
        announce(noted)
    regression = options.regression or ("ridge" if texts.classes is None else "logistic")
    if texts.classes is None and regression == "logistic":
        raise UsageError("--regression logistic takes classes, and the labels are numbers", "say --labels classes")
    folds = fitting_folds(texts, options.folds)
    part_N = parts_of(texts, folds, options.seed)
    splits = 1 if len(part_N) > ONE_SPLIT else folds
    controls = [shuffled(texts, part_N, options.seed + index) for index in range(options.shuffles)]
    places = [*([EMBEDDING] if options.at == "all" else []), *layers]
    reading = None if progress is None else lambda done, total: progress("reading texts", done, total)
    streams_LND = streams_of(model, texts.prompts, places, options.pool, reading)
    found: list[ProbedPlace] = []
    for index, (layer, x_ND) in enumerate(zip(places, streams_LND, strict=True)):
        fitted = Fitted(regression, options.penalty, texts.classes is None)
        scores = fit_layer(fitted, x_ND, texts.target_NK, controls, part_N, splits)
        directions_KD = direction_of(fitted, x_ND, texts.target_NK)
        found.append(ProbedPlace(**vars(scores), layer=None if layer == EMBEDDING else layer, directions=directions_KD))
        if progress is not None:
            progress("fitting probes", index + 1, len(places))
    embedding = found.pop(0) if places[0] == EMBEDDING else None
    best = max(found, key=lambda place: place.score)
    counts = None
    if texts.classes is not None:
        of_class = texts.target_NK.sum(axis=0).astype(int).tolist()
        counts = [ClassCount(name, count) for name, count in zip(texts.classes, of_class, strict=True)]
    assert best.layer is not None
    return ProbeResult(
        None, len(part_N), int((part_N < splits).sum()), counts, folds, splits, regression, options.penalty,
        options.pool, options.seed, options.shuffles, _baseline(texts, part_N < splits), found, best.layer, embedding,
        notes=[*noted, *_notes(texts, found, folds, options.folds)] or None,
    )  # fmt: skip


def layers_at(model: Model, at: Any) -> list[int]:
    """`--at 10`, `--at 0,3-5`, `--at all`. Raises UsageError for layers that are not there."""
    count = model.config.sizes.L
    if not isinstance(at, str) or at != "all":
        return parse_choice(at, "layer", count, option="at") or []
    return list(range(count))


def _baseline(texts: LabelledTexts, held_N: Array) -> ProbeBaseline:
    if texts.classes is None:
        return ProbeBaseline(r2=0.0)
    most = int(texts.target_NK.sum(axis=0).argmax())
    return ProbeBaseline(float(texts.target_NK[held_N, most].mean()), texts.classes[most])


def _notes(texts: LabelledTexts, found: Sequence[ProbedPlace], folds: int, wanted: int) -> list[str]:
    notes = list(texts.notes)
    if folds < wanted:
        notes.append(
            f"{folds} parts in place of {wanted}: there are too few texts, of the rarest class or in all, for more "
            "parts"
        )
    open_ends = [str(place.layer) for place in found if not place.converged]
    if open_ends:
        notes.append(f"the fit after layer {', '.join(open_ends)} has not converged: take a larger --penalty")
    return notes


def for_json(result: ProbeResult) -> ProbeResult:
    """It without the directions, which are for programs."""
    layers = [replace(place, directions=None) for place in result.layers]
    embedding = None if result.embedding is None else replace(result.embedding, directions=None)
    return replace(result, layers=layers, embedding=embedding)


def probe_arrays(result: ProbeResult) -> dict[str, Array]:
    """What `--save FILE.npz` holds, and `--steer FILE.npz@LAYER*X` reads: the layers [L], the directions [L, K, D], and
    the names of the classes, a JSON list as its bytes."""
    found = [place.directions for place in result.layers if place.directions is not None]
    arrays = {"layers": np.array([place.layer for place in result.layers]), "directions": np.stack(found)}
    if result.classes is not None:
        names = json.dumps([entry.label for entry in result.classes]).encode()
        arrays["classes"] = np.frombuffer(names, np.uint8)
    return arrays
