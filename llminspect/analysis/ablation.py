"""What stands in the place of an ablated part: its mean over a corpus, or what it gave in another text.

Wang et al. 2022, "Interpretability in the Wild" (mean ablation over another distribution); Chan et al. 2022, "Causal
Scrubbing" (resampling ablation). A mean over the one text that is looked at still holds what is special in that text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llminspect.analysis.corpus import Corpus, CorpusRead
from llminspect.analysis.firing import pieces_together
from llminspect.analysis.passes import captured, run_until
from llminspect.arguments.experiments import ExperimentOptions, ablated_places, without_each
from llminspect.arguments.option import usual_of
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.intervention import Place, replaced
from llminspect.core.tap import Capture, Tap
from llminspect.errors import UsageError, UserError, reader
from llminspect.files.npz import read_arrays
from llminspect.model.opened import Model

LARGEST = 1 << 29
"""Bytes of the means in a file."""
HINT = "llminspect forward TEXT --ablate 3.2 --ablate-with mean --corpus FOLDER --save FILE.npz writes such a file"
READ = "ablate_read"
"""The name in a file of what was read of the corpus …"""
OF = "ablate_model"
"""… and of what stands for the weights of the model."""


@dataclass(frozen=True)
class TakenText:
    """The text that ablated parts take from."""

    ids: list[int]
    path: str | None = None
    """The file of a corpus that it was drawn from …"""
    start: int | None = None
    """… and which of the file's tokens comes first."""


@dataclass(frozen=True)
class Instead:
    """What stands in the place of ablated parts: means over a corpus, or texts to take from."""

    means: Mapping[str, Array]
    """By the place, [E], [D], [1] of a neuron, or [H, E] of all heads at once."""
    read: CorpusRead | None = None
    of: str = ""
    """Of means: what stands for the weights of the model that gave them."""
    texts: Sequence[tuple[str, Sequence[int]]] = ()
    """The files of a corpus with their tokens …"""
    front: Sequence[int] = ()
    back: Sequence[int] = ()
    """… what the tokenizer puts around a text …"""
    seed: int = 0
    given: Sequence[int] | None = None
    """… or one text."""

    def digest(self) -> str:
        """A hash of all of it: with another content it is another question."""
        whole = [{place: mean.tolist() for place, mean in self.means.items()}, [*self.texts], self.seed, self.given]
        return hashlib.sha256(json.dumps(whole, default=str).encode()).hexdigest()

    def arrays(self) -> dict[str, Array]:
        """The means as `--save FILE.npz` writes them."""
        if not self.means or self.read is None:
            return {}
        read = np.frombuffer(json.dumps(vars(self.read)).encode(), np.uint8)
        of = np.frombuffer(self.of.encode(), np.uint8)
        return {**{f"ablate_{place}": mean for place, mean in self.means.items()}, READ: read, OF: of}

    def other_text(self, ids: Sequence[int]) -> TakenText:
        """As many tokens as `ids` has, of the text that was given, or drawn from the corpus: by the seed and by `ids`,
        so that each text has a draw of its own. Raises UsageError where that is too short."""
        if self.given is not None:
            if len(self.given) < len(ids):
                raise UsageError(
                    f"--ablate-from has {len(self.given)} tokens, and the text {len(ids)}",
                    f"give a text of {len(ids)} tokens or more: each position takes from the same one",
                )
            return TakenText([*self.given[: len(ids)]])
        front = self.front if list(ids[: len(self.front)]) == list(self.front) else ()
        back = self.back if self.back and list(ids[-len(self.back) :]) == list(self.back) else ()
        wanted = len(ids) - len(front) - len(back)
        starts = np.array([max(0, len(text) - wanted + 1) for _, text in self.texts])
        if wanted < 1 or not starts.sum():
            longest = max(len(text) for _, text in self.texts)
            raise UsageError(
                f"--corpus has no file of {wanted} tokens, as many as the text",
                f"the longest that was read has {longest}; --most N reads more",
            )
        chance = np.random.default_rng([self.seed, *hashlib.sha256(np.asarray(ids, "<i8").tobytes()).digest()])
        at = int(chance.integers(starts.sum()))
        file = int(np.searchsorted(np.cumsum(starts), at, side="right"))
        start = at - int(starts[:file].sum())
        path, text = self.texts[file]
        return TakenText([*front, *text[start : start + wanted], *back], path, start)


def instead_of(
    model: Model,
    options: ExperimentOptions,
    given_ids: Sequence[int] | None = None,
    progress: Callable[[int, int], object] | None = None,
    swept: Sequence[Place] = (),
) -> Instead | None:
    """What the options say stands there; None where it is nothing, or made of the text alone. `given_ids`: the tokens
    of `--ablate-from`; `swept` are places that are silenced in turn. Raises UsageError for a model that reads two
    texts, UserError for a corpus that cannot be read."""
    if options.corpus is None and given_ids is None:
        return None
    option = "--ablate-from" if options.corpus is None else "--corpus"
    if model.can("source"):
        raise UsageError(f"{option}: {model.name} reads a source and a target, and this is one text", "leave it out")
    seed = usual_of(options, "ablate_seed")
    if options.corpus is None:
        return Instead({}, given=given_ids, seed=seed)
    places = [*ablated_places(model, without_each(options)), *swept]
    if options.ablate_with == "mean" and options.corpus.suffix.lower() == ".npz":
        if options.most is not None or options.length is not None:
            raise UsageError(
                "--most and --length say how a corpus is read, and --corpus names its means", "leave them out"
            )
        return _read(model, options.corpus, places)
    corpus = Corpus(model, options.corpus, usual_of(options, "length"), usual_of(options, "most"), progress)
    if options.ablate_with == "mean":
        means = corpus_means(model, places, corpus)
        return Instead(means, corpus.read(), hash_of_weights(model))
    texts: dict[str, list[int]] = {}
    for piece in corpus.pieces():
        texts.setdefault(piece.path, []).extend(piece.ids[piece.added :])
    tokenizer = model.tokenizer
    assert tokenizer is not None, "`Corpus` refuses a model without one"
    around = tokenizer.prefix_ids, tokenizer.suffix_ids
    return Instead({}, corpus.read(), "", list(texts.items()), *around, seed)


def corpus_means(model: Model, places: Sequence[Place], corpus: Corpus) -> dict[str, Array]:
    """The mean of each place over all tokens of a corpus, start tokens left out: piece by piece, in memory that does
    not grow with it."""
    names, count = {place.tap for place in places}, 0
    sums: dict[str, Any] = {str(place): 0.0 for place in places}
    for batch in pieces_together(corpus.pieces()):
        capture, added = Capture(*names), batch[0].added
        run_until(model, np.array([piece.ids for piece in batch]), capture, names)  # type: ignore[arg-type]
        for place in places:
            values = np.asarray(capture[place.tap][place.index(slice(added, None))], np.float64)
            sums[str(place)] = sums[str(place)] + values.sum(axis=(0, -2))
        count += sum(len(piece.ids) - added for piece in batch)
    return {place: (total / count).astype(np.float32) for place, total in sums.items()}


def taken_taps(model: Model, places: Sequence[Place], other: TakenText) -> list[Tap]:
    """Taps that put at each position what the same position of the other text gave."""
    capture = captured(model, other.ids, (place.tap for place in places))
    at = list(range(len(other.ids)))
    return [replaced(place, capture[place.tap][place.index(at)], at) for place in places]


@reader("the file of means", UserError, HINT)
def _read(model: Model, path: Path, places: Sequence[Place]) -> Instead:
    """The means that `Instead.arrays` gave. UserError: the file holds none of these places, or of another shape, or
    those of another model; one that does not say of which model is refused too."""
    what, names = f"--corpus {str(path)!r:.300}", {str(place): f"ablate_{place}" for place in places}
    arrays = read_arrays(path, (*names.values(), READ, OF), largest=LARGEST, hint=HINT)
    missing = next((name for name in names.values() if name not in arrays), None)
    if missing is not None:
        raise UserError(f"{what} has no mean of {missing.removeprefix('ablate_')}", HINT)
    of = arrays[OF].tobytes().decode("ascii", "replace") if OF in arrays else None
    if of != hash_of_weights(model):
        whose = "does not say which model its means are of" if of is None else "holds the means of another model"
        raise UserError(f"{what} {whose}", HINT)
    read = _corpus_read(arrays.get(READ), what)
    means = {}
    for place, shape in zip(places, _shapes(model, places), strict=True):
        mean = arrays[names[str(place)]]
        if mean.shape != shape or mean.dtype.kind != "f" or not np.isfinite(mean).all():
            wanted = " × ".join(map(str, shape))
            raise UserError(
                f"{what}: its mean of {place} is not {wanted} finite numbers, as {model.name} has there", HINT
            )
        means[str(place)] = mean.astype(np.float32)
    return Instead(means, read, of)


def hash_of_weights(model: Model) -> str:
    """What stands for the weights: a hash of those of their files, or of the commit of a repository, and of the
    adapter's; of a model without files of its name."""
    known = model.provenance
    adapter = known.get("adapter") or {}
    of = [
        [known.get("sha256"), *sorted((known.get("files") or {}).values())],
        [known.get("repo"), known.get("revision")],
        [adapter.get("sha256"), adapter.get("config_sha256")],
        known.get("ignored_settings"),
    ]
    named = "sha256" in known or "files" in known or "repo" in known
    return hashlib.sha256(json.dumps([*of, None if named else model.name]).encode()).hexdigest()


def _corpus_read(data: Array | None, what: str) -> CorpusRead:
    kinds = {"path": str, "files": int, "pieces": int, "tokens": int, "whole": bool, "skipped": int}
    found = None if data is None or data.dtype != np.uint8 else json.loads(data.tobytes())
    if not isinstance(found, dict) or {name: type(value) for name, value in found.items()} != kinds:
        raise UserError(f"{what} does not say what its means are of", HINT)
    return CorpusRead(**found)


def _shapes(model: Model, places: Sequence[Place]) -> list[tuple[int, ...]]:
    """What the places have at a position: found by a pass over one token."""
    capture = captured(model, [0], (place.tap for place in places))
    arrays = [capture[place.tap][place.index(slice(None))] for place in places]
    return [(*array.shape[:-2], array.shape[-1]) for array in arrays]
