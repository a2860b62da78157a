"""The streams and the logits of a pass as arrays: made, compared, recorded and read again, for `verify`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.geometry import largest_difference, relative_difference
from llminspect.core.tap import Capture
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Activations:
    """The residual stream `hidden` [L+1, T, D] after the embedding and after each layer, and the `logits` [T, V]."""

    hidden: Array | None
    logits: Array | None
    ids: list[int] | None = None
    encoder_hidden: Array | None = None
    """Of an encoder–decoder the encoder's stream [L+1, S, D]; all else is the decoder's."""
    source_ids: list[int] | None = None


@dataclass(frozen=True)
class ArrayDifference:
    """How far two arrays are apart."""

    name: str
    """`embedding`, `layers.3` (the stream after that layer), `logits`."""
    largest: float
    """The largest |a - b| of any number."""
    relative: float
    """The largest over tokens of ‖a - b‖ / ‖b‖; this is what the bound holds for."""


@dataclass(frozen=True)
class VerifyCheck:
    """Two ways to the same numbers, and how far apart they end."""

    name: str
    compared: str
    """What with what, in words."""
    passed: bool
    relative: float
    """The largest of all layers."""
    where: str
    """The layer that has it."""
    layers: list[ArrayDifference]


def activations(model: Model, ids: Sequence[int], source_ids: Sequence[int] | None = None) -> Activations:
    """All of a pass in one go."""
    source, encoder_SD = _read_source(model, source_ids)
    capture = _capture(model)
    result = model.run(ids, capture, source)
    hidden = np.stack([capture[name] for name in _names(model)])
    return Activations(hidden, _logits(model, result.stream_TD), encoder_hidden=encoder_SD)


def activations_by_token(model: Model, ids: Sequence[int], source_ids: Sequence[int] | None = None) -> Activations:
    """The same through the key/value cache: the first half of the ids at once, then one id at a time."""
    half = max(1, len(ids) // 2)
    pieces = [ids[:half], *([token_id] for token_id in ids[half:])]
    cache, _ = _read_source(model, source_ids)
    hidden, logits = [], []
    for piece in pieces:
        capture = _capture(model)
        result = model.run(piece, capture, cache)
        cache = result.cache
        hidden.append(np.stack([capture[name] for name in _names(model)]))
        logits.append(_logits(model, result.stream_TD))
    rows = [row for row in logits if row is not None]
    return Activations(np.concatenate(hidden, axis=-2), np.concatenate(rows, axis=-2) if rows else None)


def _read_source(model: Model, source_ids: Sequence[int] | None) -> tuple[Cache | None, Array | None]:
    """What the decoder starts from, and the encoder's stream [L+1, S, D]; nothing for a model without a source."""
    if source_ids is None:
        return None, None
    layers: int = model.config.encoder_layers  # type: ignore[attr-defined]
    names = ["encoder.embedding.output", *(f"encoder.layers.{index}.output" for index in range(layers))]
    capture = Capture(*names)
    source = model.encode_source(source_ids, capture)
    return source, np.stack([capture[name] for name in names])


def in_float64(model: Model) -> Model:
    """The same model with every weight widened to float64 when it is used, so that the whole pass runs in float64."""
    from llminspect.model.params import OnDemand, Params

    arrays = model.params.arrays

    def widened(name: str) -> Callable[[], Array]:
        return lambda: np.asarray(arrays[name], np.float64)

    return replace(model, params=Params(OnDemand({name: widened(name) for name in arrays}), keep=False))


def not_finite(model: Model) -> list[str]:
    """The names of the weights that hold NaN or infinity."""
    # The sum is finite only if every number is, short of an overflow that float64 does not have here.
    return [name for name, array in model.params.arrays.items() if not np.isfinite(array.sum(dtype=np.float64))]


def compare(name: str, compared: str, got: Activations, reference: Activations, bound: float) -> VerifyCheck:
    """Layer by layer, as far as both have them. Raises UsageError where they are not of the same shape."""
    differences = list(_differences(got, reference))
    worst = max(differences, key=lambda difference: _badness(difference.relative))
    passed = all(difference.relative <= bound for difference in differences)
    return VerifyCheck(name, compared, passed, worst.relative, worst.name, differences)


def read_recording(path: Path) -> Activations:
    """From a file that `verify --record` or `forward --save` wrote, or another program by the same names."""
    from llminspect.files.npz import read_arrays

    found = read_arrays(path, ("ids", "hidden", "logits", "source_ids", "encoder_hidden"))
    if "hidden" not in found and "logits" not in found:
        raise UsageError(f"{path} holds neither hidden nor logits", "record them: llminspect verify MODEL --record")
    lists: dict[str, list[int] | None] = {"ids": None, "source_ids": None}
    for name in lists:
        if name in found:
            if found[name].ndim != 1 or found[name].dtype.kind not in "iu":
                raise UsageError(f"the {name} in {path} are not a list of whole numbers")
            lists[name] = found[name].tolist()
    hidden, logits, encoder_hidden = (found.get(name) for name in ("hidden", "logits", "encoder_hidden"))
    return Activations(hidden, logits, lists["ids"], encoder_hidden, lists["source_ids"])


def arrays(ids: Sequence[int], source_ids: Sequence[int] | None, found: Activations) -> dict[str, Array]:
    """What a recording holds."""
    made = {"ids": np.asarray(ids, np.int64)}
    if source_ids is not None:
        made["source_ids"] = np.asarray(source_ids, np.int64)
    names = ("hidden", "logits", "encoder_hidden")
    return made | {name: getattr(found, name) for name in names if getattr(found, name) is not None}


def _differences(got: Activations, reference: Activations) -> Iterator[ArrayDifference]:
    for what, stack in (("encoder_hidden", "encoder."), ("hidden", "")):
        ours_LTD, theirs_LTD = getattr(got, what), getattr(reference, what)
        if ours_LTD is not None and theirs_LTD is not None:
            _same_shape(what, ours_LTD, theirs_LTD)
            for index, (ours, theirs) in enumerate(zip(ours_LTD, theirs_LTD, strict=True)):
                yield _difference(f"{stack}embedding" if index == 0 else f"{stack}layers.{index - 1}", ours, theirs)
    if got.logits is not None and reference.logits is not None:
        _same_shape("logits", got.logits, reference.logits)
        yield _difference("logits", got.logits, reference.logits)


def _difference(name: str, got: Array, reference: Array) -> ArrayDifference:
    return ArrayDifference(name, largest_difference(got, reference), relative_difference(got, reference))


def _logits(model: Model, stream_TD: Array) -> Array | None:
    """None for an encoder that ends with its vectors."""
    speaks = any(map(model.can, ("generate", "source", "fill")))
    return model.logits(stream_TD) if speaks else None


def _same_shape(name: str, got: Array, reference: Array) -> None:
    if got.shape != reference.shape or reference.dtype.kind not in "fiu":
        raise UsageError(
            f"the recorded {name} have the shape {list(reference.shape)}, this model gives {list(got.shape)}",
            "the file was recorded from another model, or with other ids",
        )


def _badness(relative: float) -> float:
    return float("inf") if relative != relative else relative


def _names(model: Model) -> list[str]:
    return ["embedding.output", *(f"layers.{index}.output" for index in range(model.config.sizes.L))]


def _capture(model: Model) -> Capture:
    return Capture(*_names(model))
