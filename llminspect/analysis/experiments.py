"""`--ablate`, `--scale`, `--steer`: from the command line to taps, and what they change in the answer.

They compose: ablate, then scale, then steer. Shared by every command that runs a model and can show what a change does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llminspect.analysis.candidates import Candidate, NamedToken, candidates, token_text
from llminspect.analysis.passes import captured
from llminspect.arguments.alignment import Aligned
from llminspect.arguments.directions import parse_examples, parse_saved
from llminspect.arguments.experiments import (
    ExperimentOptions,
    FeatureTexts,
    ablated_places,
    features_and_others,
    parse_neuron_steering,
    parse_place,
    parse_steered,
)
from llminspect.arguments.features import feature_edits
from llminspect.arguments.option import each
from llminspect.arguments.ranges import shortened
from llminspect.arguments.words import parse_direction, parse_factor, sign_in_print, sum_in_print
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.intervention import Place, added, replaced, scaled
from llminspect.core.numbers import several
from llminspect.core.sampling import top_ids
from llminspect.core.tap import Tap
from llminspect.core.unembed import log_softmax
from llminspect.errors import UsageError
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.ablation import Instead, TakenText
    from llminspect.analysis.corpus import CorpusRead
    from llminspect.analysis.opened_dictionary import DictionaryFacts

MEASURED = 512
"""Tokens of a text that say how long its stream is."""


@dataclass(frozen=True)
class Experiment:
    """One change that was made."""

    kind: Literal["ablate", "scale", "steer", "patch"]
    where: str
    what: str
    length: float | None = None
    """Of a direction: how many times as long it is as what it is added to (the median of the text's)."""
    heads: list[int] | None = None
    """Of keys and values that several heads work with: which heads."""
    aligned: Aligned | None = None
    """With --align: which positions take from which."""
    read: CorpusRead | None = None
    """Of a mean over a corpus: what was read of it."""
    taken_from: TakenText | None = None
    """Of resampling: the other text."""
    dictionary: DictionaryFacts | None = None
    """Of a feature: whose it is."""


def experiment_taps(
    model: Model, options: ExperimentOptions, ids: Sequence[int], instead: Instead | None = None,
    of_examples_D: Array | None = None,
) -> tuple[list[Tap], list[Experiment]]:  # fmt: skip
    """The taps that do what the options ask, and what they are; those at features last. `ids` is the text over which
    `mean` is taken, unless there is something `instead`; `of_examples_D` is the direction of `--steer-from`, where it
    was computed before."""
    features, others = features_and_others(options)
    taps, done = _ablations(model, others, ids, instead)
    for entry in each(others.scale):
        place_text, _, factor_text = entry.rpartition("*")
        factor = parse_factor(factor_text) if place_text else None
        if factor is None:
            raise UsageError(f"--scale {shortened(entry)!r} does not end in a factor", "for example --scale 3.2*0.5")
        place = parse_place(model, place_text, "--scale")
        taps.append(scaled(place, factor))
        done.append(Experiment("scale", str(place), f"× {factor:g}", heads=place.shared))
    for tap, experiment in _steerings(model, others, ids, of_examples_D):
        taps.append(tap)
        done.append(experiment)
    if options.features is not None:
        tap, changed = _at_features(model, options, features)
        return [*taps, tap], [*done, *changed]
    return taps, done


def _at_features(model: Model, options: ExperimentOptions, given: FeatureTexts) -> tuple[Tap, list[Experiment]]:
    """The changes at features of a sparse dictionary."""
    from llminspect.analysis.opened_dictionary import feature_change, open_dictionary

    opened = open_dictionary(model, options.features, options.features_at, changes=True, option="--features-at")
    changes, facts = feature_edits(given, opened.made.features), opened.facts()
    tap = feature_change(model, opened, changes)
    return tap, [Experiment(one.kind, one.place, one.what, dictionary=facts) for one in changes]


def _ablations(
    model: Model, options: ExperimentOptions, ids: Sequence[int], instead: Instead | None
) -> tuple[list[Tap], list[Experiment]]:
    """The parts that are ablated, and what stands in their place."""
    places, what, read = ablated_places(model, options), str(options.ablate_with), None
    values: list[Any] = [0.0] * len(places)
    if places:
        check_resampled(options, instead)
    if instead is not None and instead.means:
        read, what = instead.read, what_of_mean(instead)
        values = [instead.means[str(place)][..., None, :] for place in places]
    elif instead is not None and places:
        from llminspect.analysis.ablation import taken_taps

        other = instead.other_text(ids)
        from_file = "" if other.path is None else f" of {other.path}, from its token {other.start}"
        what = f"resample: “{text_of(model, other.ids)}”{from_file}"
        made = [Experiment("ablate", str(place), what, heads=place.shared, taken_from=other) for place in places]
        return taken_taps(model, places, other), made
    elif options.ablate_with == "mean" and places:
        capture = captured(model, ids, (place.tap for place in places))
        values = [capture[place.tap][place.index(slice(None))].mean(axis=-2, keepdims=True) for place in places]
    taps: list[Tap] = [replaced(place, value) for place, value in zip(places, values, strict=True)]
    return taps, [Experiment("ablate", str(place), what, heads=place.shared, read=read) for place in places]


def check_resampled(options: ExperimentOptions, instead: Instead | None) -> None:
    """Raise UsageError where nothing is said to take from."""
    if instead is None and (options.corpus is not None or options.ablate_with == "resample"):
        raise UsageError("--ablate-with resample needs a text to take from", "give --ablate-from TEXT or --corpus PATH")


def what_of_mean(instead: Instead) -> str:
    """How a mean over a corpus reads."""
    assert instead.read is not None
    return f"mean over {instead.read.path}, {several(instead.read.tokens, 'token')}"


def text_of(model: Model, ids: Sequence[int]) -> str:
    """The text of ids, of a long one its beginning; the ids themselves where there is no tokenizer."""
    text = ",".join(map(str, ids))
    if model.tokenizer is not None:
        text = model.tokenizer.shown(ids).decode("utf-8", "replace")
    return shortened(text)


def _steerings(
    model: Model, options: ExperimentOptions, ids: Sequence[int], of_examples_D: Array | None
) -> list[tuple[Tap, Experiment]]:
    """The directions as taps, each measured by what stands in the text `ids` where it is added."""
    directions = [_added_at(model, text) for text in each(options.steer)]
    if options.steer_from is not None:
        directions.append(_of_examples(model, options.steer_from, of_examples_D))
    if not directions:
        return []
    beside = [Place(place.layer, "stream") if place.neuron is not None else place for place, _, _ in directions]
    capture = captured(model, ids[:MEASURED], (place.tap for place in beside))
    found: list[tuple[Tap, Experiment]] = []
    for there, (place, direction_D, what) in zip(beside, directions, strict=True):
        with np.errstate(all="ignore"):  # A direction that overflows is one of the logits' own errors.
            # The median of the vectors there: the first token's may be many times as long.
            usual = float(np.median(np.linalg.norm(capture[there.tap][there.index(slice(None))], axis=-1)))
            length = float(np.linalg.norm(direction_D.astype(np.float64)) / usual)
        if place.neuron is None:
            made = Experiment("steer", str(place), what, length, place.shared)
            found.append((added(place, direction_D), made))
            continue
        value = parse_neuron_steering(model, what)[1]  # type: ignore[index]
        # What comes of it goes through a norm, where there is one after the step: no length is known before.
        normed = f"layers.{place.layer}.feedforward.norm_after.weight" in model.params
        experiment = Experiment("steer", str(place), sign_in_print(value), None if normed else length)
        found.append((added(place, value), experiment))
    return found


def _added_at(model: Model, text: str) -> tuple[Place, Array, str]:
    """Where something is added, what that adds there (a neuron: to the stream), [D] or [E], and how it reads."""
    saved = parse_saved(text)
    if saved is not None:
        from llminspect.analysis.directions import saved_direction  # Which reads archives.

        place = Place(saved.layer, "stream")
        return place, saved_direction(model, saved), sum_in_print(saved.factor, [(1, str(saved))])
    at_neuron = parse_neuron_steering(model, text)
    if at_neuron is None:
        return _direction(model, text)
    place, value = at_neuron
    if place.neuron is None:
        raise UsageError(f"--steer {shortened(text)!r} names no neuron", "for example 3.feedforward.7*2")
    from llminspect.model.folded import columns

    down_DF = model.params[f"layers.{place.layer}.feedforward.down.weight"]
    column_D = np.asarray(columns(down_DF, place.neuron, place.neuron + 1))[:, 0]
    return place, value * column_D * model.config.residual_scale, text


def _of_examples(model: Model, files: tuple[str, str], known_D: Array | None) -> tuple[Place, Array, str]:
    """What the mean of one file's texts has more than that of the other's."""
    from llminspect.analysis.directions import difference_of_texts

    examples = parse_examples(files)
    what = sum_in_print(examples.factor, [(1, str(examples.positive)), (-1, str(examples.negative))])
    return Place(examples.layer, "stream"), difference_of_texts(model, examples) if known_D is None else known_D, what


def _direction(model: Model, text: str) -> tuple[Place, Array, str]:
    """`London - Paris@10*2`: where, twice the difference of the two streams after layer 10 [D] (or of what the words
    give at another place), and how it reads."""
    terms, place_text, factor = parse_direction(text)
    place = parse_steered(model, place_text)
    parts = [weight * _vector_of(model, word, place) for weight, word in terms]
    with np.errstate(over="ignore"):  # The logits say so.
        direction_D = factor * np.sum(parts, axis=0)
    return place, direction_D, sum_in_print(factor, terms)


def _vector_of(model: Model, word: str, place: Place) -> Array:
    """What stands at the place at the last token of `word`, as in mid-text: after BOS, with a space in front where that
    is how the vocabulary has it."""
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
    vector_D: Array = captured(model, [*front, *ids], [place.tap])[place.tap][place.index([-1])][0]
    return vector_D


@dataclass(frozen=True)
class Baseline:
    """The model left alone."""

    next: list[Candidate]


@dataclass(frozen=True)
class Shift(NamedToken):
    """One token before and after."""

    prob_before: float
    prob_after: float
    logit_change: float


@dataclass(frozen=True)
class AnswerChange:
    """What the experiment did."""

    experiments: list[Experiment]
    kl: float
    """KL(before ‖ after) of the two next-token distributions, in bits."""
    largest_logit_change: float
    tokens: list[Shift]
    target: Shift | None = None
    """The token of --target …"""
    versus: Shift | None = None
    """… and that of --versus, and then without --target the most probable token before."""
    difference: list[float] | None = None
    """With --versus: logit of target − logit of versus, before and after."""


def compare_answers(
    model: Model,
    before_V: Array,
    after_V: Array,
    count: int,
    experiments: list[Experiment],
    answers: Sequence[int | None] = (None, None),
) -> tuple[Baseline, AnswerChange]:
    """Compare two rows of logits; `answers` are target and versus, where there are such."""
    chosen, other = answers
    if chosen is None and other is not None:
        chosen = int(np.argmax(before_V))
    log_before, log_after = (log_softmax(logits.astype(np.float64)) for logits in (before_V, after_V))

    def shift(token_id: int) -> Shift:
        return Shift(
            token_id,
            token_text(model, token_id),
            float(np.exp(log_before[token_id])),
            float(np.exp(log_after[token_id])),
            float(after_V[token_id]) - float(before_V[token_id]),
        )

    target, versus = (None if token_id is None else shift(token_id) for token_id in (chosen, other))
    rows = (before_V, after_V)
    return Baseline(candidates(model, before_V, count)), AnswerChange(
        experiments,
        kl=float(divergence(log_before, log_after)),
        largest_logit_change=float(np.max(np.abs(after_V.astype(np.float64) - before_V))),
        tokens=[shift(token_id) for token_id in dict.fromkeys([*top_ids(before_V, count), *top_ids(after_V, count)])],
        target=target,
        versus=versus,
        difference=None if other is None else [float(row_V[chosen]) - float(row_V[other]) for row_V in rows],
    )


def divergence(log_before_V: Array, log_after_BV: Array) -> Array:
    """KL(before ‖ after) = Σ p (ln p − ln q), in bits, of one or of several after, [B]; never below 0 by rounding."""
    before_V = np.exp(log_before_V)
    parts_BV = np.where(before_V > 0, before_V * (log_before_V - log_after_BV), 0.0)
    kl_B: Array = np.maximum(0.0, parts_BV.sum(axis=-1) / np.log(2))
    return kl_B
