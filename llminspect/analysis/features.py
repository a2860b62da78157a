"""`features`: which features of a sparse dictionary are on at each token, what they write, how well they rebuild."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from llminspect.analysis.candidates import candidates
from llminspect.analysis.corpus import Corpus
from llminspect.analysis.experiments import Experiment, compare_answers
from llminspect.analysis.feature_result import ActiveFeature, FeatureByItself, FeaturesResult
from llminspect.analysis.firing import Places, fire
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.loss_recovered import loss_recovered
from llminspect.analysis.neighbours import Words
from llminspect.analysis.opened_dictionary import OpenDictionary, feature_change, feature_notes, logits_written, tapped
from llminspect.analysis.prompt import check_prompt
from llminspect.analysis.result import token_documents
from llminspect.arguments.features import FeatureEdits, FeaturesOptions, parse_features
from llminspect.arguments.option import usual_of
from llminspect.arguments.parts import CorpusOptions
from llminspect.arguments.ranges import parse_choice
from llminspect.core.array import Array
from llminspect.core.dictionary import activations_of, decode, explained_variance, some_at_a_time
from llminspect.core.tap import Capture
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

ROWS_AT_ONCE = 64
"""Features that are multiplied with the vocabulary at once."""


def features(
    model: Model,
    opened: OpenDictionary,
    options: FeaturesOptions,
    edits: FeatureEdits,
    corpus: CorpusOptions,
    prompt: Prompt | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> FeaturesResult:
    """What a dictionary says of a text, of single features, or of itself. `progress` is told the tokens of a corpus."""
    made, words = opened.made, Words(model, options.words)
    chosen = parse_features(options.feature, made.features, "--feature")
    changes = edits.parsed(made.features)
    if corpus.corpus is not None and not chosen:
        raise UsageError("--corpus shows where single features fire", "name them: --feature 5")
    if changes and prompt is None:
        raise UsageError("a change shows in what follows a text", "give a text")
    if options.position is not None and prompt is None:
        raise UsageError("--position is of a text", "give one")
    folded, left_out = feature_notes(model, opened)
    seen: dict[str, Any] = {}
    kept = None
    if prompt is not None:
        check_prompt(model, prompt)
        kept = tapped(model, opened.place, prompt.ids)
        seen = _of_text(model, opened, options, words, prompt, kept)
    if chosen:
        seen["chosen"] = _chosen(model, opened, options, words, corpus, chosen, kept, progress)
    if changes and prompt is not None:
        seen |= _changed(model, opened, edits, options.top, prompt)
    notes = None if prompt is None else beyond_context(model, len(prompt.tokens))
    return FeaturesResult(opened.facts(), folded, left_out, not words.all, notes=notes, **seen)


def _of_text(
    model: Model, opened: OpenDictionary, options: FeaturesOptions, words: Words, prompt: Prompt, kept: Capture
) -> dict[str, Any]:
    """The features of each token, and how well they rebuild the vectors."""
    made, place = opened.made, opened.place
    read_TD = place.vectors(model, kept[place.read])
    tokens = {"text": prompt.text, "tokens": token_documents(prompt.tokens)}
    positions = parse_choice(options.position, "position", len(read_TD))
    if positions is not None:
        parts = [row_F for _, rows_tF in some_at_a_time(made, read_TD[positions]) for row_F in rows_tF]
        best = [_highest(row_F, options.top) for row_F in parts]
        active = [int(np.count_nonzero(row_F)) for row_F in parts]
        on = _on(model, opened, words, dict(zip(positions, best, strict=True)), options.top)
        return {**tokens, "features": on, "positions": positions, "active": active}
    target_TO = place.targets(kept[place.write])
    rebuilt_TO, active, best = np.empty_like(target_TO), [], []
    for part, activation_tF in some_at_a_time(made, read_TD):
        rebuilt_TO[part] = decode(made, activation_tF, read_TD[part])
        active += np.count_nonzero(activation_tF, axis=1).tolist()
        best += [_highest(row_F, options.top) for row_F in activation_tF]
    on = _on(model, opened, words, dict(enumerate(best)), options.top)
    text = [index for index, token in enumerate(prompt.tokens) if token.start is not None]
    text = text or list(range(len(prompt.tokens)))
    return {
        **tokens, "features": on, "active": active,
        "explained_variance": _finite(explained_variance(target_TO[text], rebuilt_TO[text])),
        "explained_variance_without_first": _finite(explained_variance(target_TO[text[1:]], rebuilt_TO[text[1:]]))
        if len(text) > 2 else None,
        "loss": loss_recovered(model, place, prompt.ids, kept[place.write], rebuilt_TO),
    }  # fmt: skip


def _on(
    model: Model, opened: OpenDictionary, words: Words, best: dict[int, list[tuple[int, float]]], count: int
) -> list[ActiveFeature]:
    """The features that are on at each token, with what each writes."""
    written = _writes(model, opened, words, sorted({index for row in best.values() for index, _ in row}), count)
    return [
        ActiveFeature(index, token, activation, written[index])
        for token, row in best.items()
        for index, activation in row
    ]


def _highest(activation_F: Array, count: int) -> list[tuple[int, float]]:
    """The features that are on with the highest activations, highest first; of equal ones the first."""
    on = np.flatnonzero(activation_F)
    order = np.argsort(-activation_F[on], kind="stable")[:count]
    return [(int(on[at]), float(activation_F[on[at]])) for at in order]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _writes(model: Model, opened: OpenDictionary, words: Words, chosen: list[int], count: int) -> dict[int, Any]:
    found = {}
    for start in range(0, len(chosen), ROWS_AT_ONCE):
        some = chosen[start : start + ROWS_AT_ONCE]
        for index, logits_V in zip(some, logits_written(model, opened, some), strict=True):
            found[index] = words.raised(logits_V, count)
    return found


def _chosen(
    model: Model,
    opened: OpenDictionary,
    options: FeaturesOptions,
    words: Words,
    corpus: CorpusOptions,
    chosen: list[int],
    kept: Capture | None,
    progress: Callable[[int, int], object] | None,
) -> list[FeatureByItself]:
    """Features by themselves: what each writes, and where it is on."""
    made, place = opened.made, opened.place
    here_TN = None
    if kept is not None:
        read_TD = place.vectors(model, kept[place.read])
        here_TN = activations_of(made, read_TD, chosen)
    places = [Places(usual_of(options, "examples"), False) for _ in chosen]
    read = None
    if corpus.corpus is not None:
        read = Corpus(model, corpus.corpus, usual_of(corpus, "length"), usual_of(corpus, "most"), progress)
        fire(read, lambda ids_BT: _at(model, opened, chosen, ids_BT), places)
    found = []
    for at, index in enumerate(chosen):
        logits_V = logits_written(model, opened, [index])[0]
        found.append(
            FeatureByItself(
                index, words.raised(logits_V, options.top), words.lowered(logits_V, options.top),
                float(np.sqrt(np.mean(logits_V**2))), float(np.linalg.norm(made.rows([index])[0])),
                None if here_TN is None else here_TN[:, at].tolist(),
                None if read is None else [place for place in places[at].best(model) if place.activation > 0],
                None if read is None else places[at].summed(read.read()),
            )
        )  # fmt: skip
    return found


def _at(model: Model, opened: OpenDictionary, chosen: list[int], ids_BT: Array) -> Array:
    """The activations of some features in several texts of one length, [N, B, T]."""
    found_NBT = np.empty((len(chosen), *ids_BT.shape), np.float32)
    for at, ids_T in enumerate(ids_BT):
        read_TD = opened.place.vectors(model, tapped(model, opened.place, ids_T)[opened.place.read])
        found_NBT[:, at] = activations_of(opened.made, read_TD, chosen).T
    return found_NBT


def _changed(model: Model, opened: OpenDictionary, edits: FeatureEdits, count: int, prompt: Prompt) -> dict[str, Any]:
    """The next token with features ablated, scaled and steered: what the dictionary cannot rebuild stays as it was."""
    if model.no_next_token() is not None:
        raise UsageError(f"a change shows in the next token, and {model.name} predicts none: {model.no_next_token()}")
    changes = edits.parsed(opened.made.features)
    tap = feature_change(model, opened, changes)
    before_V, after_V = (
        model.logits(model.run(prompt.ids, *taps).stream_TD[-1:])[0] for taps in ((), (tap,))
    )  # fmt: skip
    done = [Experiment(change.kind, change.place, change.what) for change in changes]
    baseline, moved = compare_answers(model, before_V, after_V, count, done)
    return {"next": candidates(model, after_V, count), "baseline": baseline, "change": moved}
