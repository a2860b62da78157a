"""A sparse dictionary at its place in a model: opened, and what is tapped and written there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from llminspect.analysis.passes import run_until
from llminspect.arguments.features import FeatureEdit
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.dictionary import Dictionary
from llminspect.core.tap import Capture
from llminspect.errors import UsageError
from llminspect.files.dictionaries import fingerprint, read_dictionary
from llminspect.model.dictionary_files import dictionary_of
from llminspect.model.dictionary_settings import StatedDictionary
from llminspect.model.feature_changes import FeatureChange
from llminspect.model.folded import check_words, logits_of, norm_called
from llminspect.model.hook_points import HookPlace, place_of
from llminspect.model.opened import Model


@dataclass(frozen=True)
class DictionaryFacts:
    """A dictionary, and where it reads and writes."""

    path: str
    sha256: str
    """Of the file with its arrays."""
    maker: str
    """SAELens, sparsify or Gemma Scope."""
    kind: str
    """Its architecture, in the maker's word."""
    features: int
    width: int
    """How many numbers it reads."""
    layer: int
    hook: str
    """Where it reads, in the maker's word …"""
    reads: str
    """… and in ours."""
    writes: str
    """What it rebuilds: the same, or of a transcoder what a step makes of it."""
    trained_on: str | None = None
    """The model that it was made for, as its files name it."""


@dataclass(frozen=True)
class OpenDictionary:
    """A dictionary at its place in a model."""

    stated: StatedDictionary
    place: HookPlace
    hook: str
    path: str
    provenance: Mapping[str, str]

    @property
    def made(self) -> Dictionary:
        return self.stated.dictionary

    def facts(self) -> DictionaryFacts:
        return DictionaryFacts(
            self.path, self.provenance["sha256"], self.stated.maker, self.stated.kind, self.made.features,
            len(self.made.encoder_DF), self.place.layer, self.hook, self.place.read, self.place.write,
            self.stated.trained_on,
        )  # fmt: skip


def open_dictionary(
    model: Model, path: str | None, at: str | None = None, *, changes: bool = False, option: str = "--at"
) -> OpenDictionary:
    """Read a dictionary and find its place in the model; `at` is where it reads, if its files do not say, and comes
    from `option`. It is for `changes` alone, or for what its features say in words as well.

    Raises ModelError for files that are none, UsageError for a place that the model does not have, or another width.
    """
    if path is None:
        raise UsageError("no dictionary is named", "a folder of SAELens or sparsify, or an .npz of Gemma Scope")
    if not changes:
        check_words(model, "features")
    elif model.can("source") or model.source is not None or model.config.streams > 1:
        raise UsageError(f"changes at features are for models of one stack and one stream, which {model.name} is not")
    maker, stated, provenance = _read(path, fingerprint(path))
    hook, hook_out = stated.hook, stated.hook_out
    if at is not None:
        if maker == "SAELens" and hook is not None:
            what = f"{option}: the dictionary says itself that it reads at {hook!r:.100}"
            raise UsageError(what, f"leave out {option}")
        hook = at
        layer = hook.split(".")[1] if hook.endswith("ln2.hook_normalized") else None
        hook_out = hook_out if layer is None else f"blocks.{layer}.hook_mlp_out"
    if hook is None:
        raise UsageError("the dictionary does not say where it reads", f"say it: {option} blocks.20.hook_resid_post")
    place = place_of(model, hook, hook_out, stated.centred)
    made = stated.dictionary
    for what, found, needed in zip(
        ("reads", "writes"), (len(made.encoder_DF), made.decoder_FO.shape[1]), place.widths(model), strict=True
    ):
        if found != needed:
            at = place.read if what == "reads" else place.write
            raise UsageError(f"the dictionary {what} vectors of {found} numbers, and {at} of {model.name} has {needed}")
    return OpenDictionary(stated, place, hook, path, provenance)


@lru_cache(maxsize=1)  # Of several texts, and of a screen that follows each key, it is the same one.
def _read(path: str, content: object) -> tuple[str, StatedDictionary, Mapping[str, str]]:
    files = read_dictionary(path)
    return files.maker, dictionary_of(files), files.provenance


def tapped(model: Model, place: HookPlace, ids: Any) -> Capture:
    """What stands where a dictionary reads and writes. Raises UsageError where the pass has no such step."""
    kept = Capture(place.read, place.write, optional=True)
    run_until(model, ids, kept, [place.read, place.write])
    for name in (place.read, place.write):
        if name not in kept.arrays:
            raise UsageError(f"the dictionary is of {name}, and {model.name} has no such step")
    return kept


def feature_change(model: Model, opened: OpenDictionary, changes: Sequence[FeatureEdit]) -> FeatureChange:
    """The tap that makes some changes, those of one feature in their order. Raises UsageError where the pass has no
    such step, and for an engine that has no numpy in its pass."""
    if model.engine is not None:
        raise UsageError("changes at features need the engine numpy", "leave out --engine")
    place, some = opened.place, list(dict.fromkeys(change.feature for change in changes))
    factor_N, added_N = np.ones(len(some), np.float32), np.zeros(len(some), np.float32)
    for change in changes:
        at = some.index(change.feature)
        if change.kind == "steer":
            added_N[at] += np.float32(change.value)
        else:
            factor_N[at], added_N[at] = factor_N[at] * np.float32(change.value), added_N[at] * np.float32(change.value)
    return FeatureChange(model, opened.made, place, some, factor_N, added_N)


def logits_written(model: Model, opened: OpenDictionary, chosen: list[int]) -> Array:
    """What an activation of 1 of each adds to the logits, [N, V], less its mean over the vocabulary."""
    logits_NV = logits_of(model, opened.place.into_stream(model, opened.made.rows(chosen)))
    centred_NV: Array = logits_NV - logits_NV.mean(axis=1, keepdims=True)
    return centred_NV


def feature_notes(model: Model, opened: OpenDictionary) -> tuple[list[str], list[str]]:
    """What of the model is in the logits that features write, and what is not."""
    place, folded, left_out = opened.place, [], []
    if place.form == "heads":
        folded.append("the output matrix of the attention")
    if place.form == "heads" or place.write.endswith(".unnormed"):
        step = place.write.split(".")[2]
        if f"{step}.norm_after.weight" in model.params.layer(place.layer):
            folded.append("the gain of the norm after the step")
            left_out.append("the size by which that norm divides")
    if norm_called(model.params, "final.norm", model.config).epsilon is not None:
        folded.append("the gain of the final norm, at a last stream of size 1 (root mean square)")
    if "final.projection.weight" in model.params:
        folded.append("the projection after the final norm")
    if opened.made.scaling != "none" and opened.made.restores:
        left_out.append("that each vector is scaled back to its own size")
    left_out.append("what later layers make of it")
    if model.config.logit_cap is not None:
        left_out.append(f"the cap of {model.config.logit_cap:g} on the logits")
    return folded, left_out
