"""`llminspect verify`: are the numbers right, on this machine? The streams and the logits of passes, compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.prompt import check_prompt, prompt_of_ids, start_token
from llminspect.analysis.result import Result
from llminspect.arguments.ranges import Ids, parse_ids
from llminspect.arguments.small import BOUND
from llminspect.core.array import Array, RowsOnDemand
from llminspect.core.cache import Cache
from llminspect.core.dataclass import dataclass
from llminspect.core.geometry import largest_difference, relative_difference, spread_ids
from llminspect.core.tap import Capture
from llminspect.errors import UsageError
from llminspect.model.opened import Model

TOKENS = 16


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
    hidden, logits, _ = _run(model, ids, source)
    return Activations(hidden, logits, encoder_hidden=encoder_SD)


def activations_by_token(model: Model, ids: Sequence[int], source_ids: Sequence[int] | None = None) -> Activations:
    """The same through the key/value cache: the first half of the ids at once, then one id at a time."""
    half = max(1, len(ids) // 2)
    cache, _ = _read_source(model, source_ids)
    hidden, logits = [], []
    for piece in [ids[:half], *([token_id] for token_id in ids[half:])]:
        stream, rows, cache = _run(model, piece, cache)
        hidden.append(stream)
        logits += [] if rows is None else [rows]
    return Activations(np.concatenate(hidden, axis=-2), np.concatenate(logits, axis=-2) if logits else None)


def _run(model: Model, ids: Sequence[int], cache: Cache | None) -> tuple[Array, Array | None, Cache | None]:
    """The streams of a pass and its logits: none for an encoder, which ends with its vectors; and what it leaves."""
    capture = Capture(*(names := _names(model.config.sizes.L)))
    result = model.run(ids, capture, cache)
    speaks = model.architecture.without_output(model.config, model.params) is None
    logits = model.logits(result.stream_TD) if speaks else None
    return np.stack([capture[name] for name in names]), logits, result.cache


def _names(layers: int) -> list[str]:
    return ["layers.0.input", *(f"layers.{layer}.output" for layer in range(layers))]


def _read_source(model: Model, source_ids: Sequence[int] | None) -> tuple[Cache | None, Array | None]:
    """What the decoder starts from, and the encoder's stream [L+1, S, D]; nothing for a model without a source."""
    if source_ids is None:
        return None, None
    layers: int = model.config.encoder_layers  # type: ignore[attr-defined]
    capture = Capture(*(names := [f"encoder.{name}" for name in _names(layers)]))
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
    return [name for name, array in model.params.arrays.items() if not _finite(array)]


def _finite(array: Array | RowsOnDemand) -> bool:
    if not isinstance(array, np.ndarray):
        return array.finite()
    # The sum is finite only if every number is, short of an overflow that float64 does not have here.
    return bool(np.isfinite(array.sum(dtype=np.float64)))


def compare(name: str, compared: str, got: Activations, reference: Activations, bound: float) -> VerifyCheck:
    """Layer by layer, as far as both have them. Raises UsageError where they are not of the same shape."""
    differences = list(_differences(got, reference))
    worst = max(differences, key=lambda one: math.inf if math.isnan(one.relative) else one.relative)
    passed = all(difference.relative <= bound for difference in differences)
    return VerifyCheck(name, compared, passed, worst.relative, worst.name, differences)


def read_recording(path: Path) -> Activations:
    """From a file that `verify --record` or `forward --save` wrote, or another program by the same names."""
    from llminspect.files.npz import read_arrays

    found = read_arrays(path, ("ids", "hidden", "logits", "source_ids", "encoder_hidden"))
    if "hidden" not in found and "logits" not in found:
        raise UsageError(f"{path} holds neither hidden nor logits", "record them: llminspect verify MODEL --record")
    lists = {name: found[name] for name in ("ids", "source_ids") if name in found}
    for name, array in lists.items():
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise UsageError(f"the {name} in {path} are not a list of whole numbers")
    streams: dict[str, Any] = {name: found.get(name) for name in ("hidden", "logits", "encoder_hidden")}
    return Activations(**streams, **{name: array.tolist() for name, array in lists.items()})


def arrays(ids: Sequence[int], source_ids: Sequence[int] | None, found: Activations) -> dict[str, Array]:
    """What a recording holds."""
    made = {"ids": np.asarray(ids, np.int64)}
    if source_ids is not None:
        made["source_ids"] = np.asarray(source_ids, np.int64)
    names = ("hidden", "logits", "encoder_hidden")
    return made | {name: getattr(found, name) for name in names if getattr(found, name) is not None}


def _differences(got: Activations, reference: Activations) -> Iterator[ArrayDifference]:
    def difference(name: str, ours: Array, theirs: Array) -> ArrayDifference:
        return ArrayDifference(name, largest_difference(ours, theirs), relative_difference(ours, theirs))

    for what, stack in (("encoder_hidden", "encoder."), ("hidden", "")):
        ours_LTD, theirs_LTD = getattr(got, what), getattr(reference, what)
        if ours_LTD is not None and theirs_LTD is not None:
            _same_shape(what, ours_LTD, theirs_LTD)
            for index, (ours, theirs) in enumerate(zip(ours_LTD, theirs_LTD, strict=True)):
                yield difference(f"{stack}embedding" if index == 0 else f"{stack}layers.{index - 1}", ours, theirs)
    if got.logits is not None and reference.logits is not None:
        _same_shape("logits", got.logits, reference.logits)
        yield difference("logits", got.logits, reference.logits)


def _same_shape(name: str, got: Array, reference: Array) -> None:
    if reference.dtype.kind not in "fiu":
        raise UsageError(f"the recorded {name} are not the numbers of a model: {reference.dtype}", "record them again")
    if got.shape != reference.shape:
        raise UsageError(
            f"the recorded {name} have the shape {list(reference.shape)}, this model gives {list(got.shape)}",
            "the file was recorded from another model, or with other ids",
        )


@dataclass(frozen=True)
class SkippedCheck:
    """A check that does not apply, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class VerifyResult(Result):
    """How far the numbers are from recorded ones, or from the same numbers made another way, layer by layer."""

    ids: list[int]
    """The input of every pass; of an encoder–decoder the target."""
    bound: float
    """The largest relative difference that passes."""
    passed: bool
    checks: list[VerifyCheck]
    left_out: list[SkippedCheck]
    not_finite: list[str]
    """Weights that hold NaN or infinity."""
    against: str | None = None
    """The file of recorded activations."""
    recorded: str | None = None
    """The file that was written."""
    source_ids: list[int] | None = None
    """Of an encoder–decoder: the source."""


def verify(
    model: Model,
    ids: Sequence[int],
    *,
    bound: float = BOUND,
    streamed: Callable[[], Model] | None = None,
    against: tuple[str, Activations] | None = None,
    source_ids: Sequence[int] | None = None,
) -> tuple[VerifyResult, Activations]:
    """Compare with recorded activations, or without any with the model itself; gives the activations as well.

    `streamed` opens the model with its weights read anew from its own file. Raises UsageError where the recording does
    not fit the model.
    """
    skipped: list[SkippedCheck] = []
    model = replace(model, finite=False)
    with np.errstate(invalid="ignore", over="ignore"):  # What is not finite is reported by name.
        found = activations(model, ids, source_ids)
        if against is not None:
            checks = [compare("recorded", "this pass against the recording", found, against[1], bound)]
        else:
            checks, skipped = _against_itself(model, (ids, source_ids), found, bound, streamed)
    broken = not_finite(model)
    passed = all(check.passed for check in checks) and not broken
    name = None if against is None else against[0]
    source = None if source_ids is None else list(source_ids)
    notes = beyond_context(model, len(ids))
    result = VerifyResult(list(ids), bound, passed, checks, skipped, broken, name, source_ids=source, notes=notes)
    return result, found


def _against_itself(
    model: Model,
    given: tuple[Sequence[int], Sequence[int] | None],
    found: Activations,
    bound: float,
    streamed: Callable[[], Model] | None,
) -> tuple[list[VerifyCheck], list[SkippedCheck]]:
    skipped = []
    exact = activations(in_float64(model), *given)
    checks = [compare("float64", "float32 against float64", found, exact, bound)]
    if model.config.causal:
        by_token = activations_by_token(model, *given)
        checks.append(compare("cached", "token by token with the cache against all at once", by_token, found, bound))
    else:
        skipped.append(
            SkippedCheck("cached", "a token sees those after it, so nothing can be kept from one pass to the next")
        )
    if streamed is None:
        skipped.append(SkippedCheck("streamed", "the weights are built in, there is no file to read them from"))
    else:
        anew = activations(streamed(), *given)
        compared = "weights read from the file layer by layer against those prepared whole"
        checks.append(compare("streamed", compared, found, anew, bound))
    return checks, skipped


def ids_of(model: Model, ids: Ids | None, recording: Activations | None) -> tuple[list[int], list[int] | None]:
    """The input of the passes, and of an encoder–decoder the source: what was given, else what was recorded, else ids
    from all over the vocabulary (of which the target takes the first half, after its start)."""

    def checked(listed: Ids) -> list[int]:
        prompt = prompt_of_ids(parse_ids(listed), model.tokenizer, None)
        check_prompt(model, prompt)
        return prompt.ids

    sizes, source_ids = model.config.sizes, None
    chosen = spread_ids(sizes.V, min(TOKENS, sizes.context)) if ids is None else checked(ids)
    if model.can("source"):
        start = start_token(model)
        chosen, source_ids = [*([] if start is None else [start]), *chosen[: len(chosen) // 2]], chosen
    if ids is None and recording is not None:
        if recording.ids is not None:
            chosen = checked(recording.ids)
        if source_ids is not None and recording.source_ids is not None:
            source_ids = checked(recording.source_ids)
    return chosen, source_ids
