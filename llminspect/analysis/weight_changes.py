"""`diff --weights`: where the weights of two models are apart, tensor by tensor and part by part.

The arrays are the model's own parts, not those of its file: what one file has in one fused tensor, turned, permuted or
in few bits is compared with what another has apart. One array at a time is in memory, or some rows of it where the
file allows that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from llminspect.core.array import Array, RowsOnDemand
from llminspect.core.changes import SquaredChange, squared_change
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.model.params import OF_A_LAYER
from llminspect.model.reading import not_finite
from llminspect.model.spec import expanded_shape

NUMBERS = 1 << 20
"""So many of a tensor are compared at once."""
EMBEDDING, UNEMBEDDING = "embedding.weight", "unembedding.weight"


@dataclass(frozen=True)
class TensorChange:
    """One array, by its name in docs/shapes.md."""

    name: str
    layer: int | None
    part: str
    """Which part of a layer, or of the model."""
    shape: list[int]
    relative: float
    """‖b − a‖ / ‖a‖, Frobenius norms; no number where a is nought and b is not."""
    rows: int | None = None
    """Where the vocabularies are of different lengths and begin with the same tokens: rows of so many are compared."""


@dataclass(frozen=True)
class PartChange:
    """A part, in all layers together, or a layer, with all its parts."""

    part: str | None
    layer: int | None
    relative: float
    parameters: int


@dataclass(frozen=True)
class LeftOut:
    """An array that is not compared."""

    name: str
    shape_a: list[int] | None
    """None: that model has no such array."""
    shape_b: list[int] | None


@dataclass(frozen=True)
class WeightChanges:
    """Where the weights are apart: ‖b − a‖ / ‖a‖, over all numbers that belong together."""

    relative: float
    parameters: int
    """How many numbers of each model were compared."""
    same: int
    """How many tensors are the same, to the last bit."""
    parts: list[PartChange]
    layers: list[PartChange]
    tensors: list[TensorChange]
    left_out: list[LeftOut]


class OfModel:
    """The arrays of a model by name, read a part at a time."""

    def __init__(self, model: Model) -> None:
        self._params, config = model.params, model.config
        self.tied = UNEMBEDDING not in model.params and EMBEDDING in model.params and config.tied
        specs = model.architecture.tensors(config)
        shapes = {spec.name: expanded_shape(spec.shape, config.sizes) for spec in specs}
        self.shapes = {
            name: shapes[name] if name in shapes else model.params[name].shape for name in model.params.arrays
        }

    def shape(self, name: str) -> tuple[int, ...] | None:
        """That of an array; None where there is none. A tied embedding is the output matrix as well."""
        return self.shapes.get(self._name(name))

    def reader(self, name: str) -> Callable[[int, int], Array]:
        """What gives rows of it. A whole array that has to be made whole is made once."""
        name, whole = self._name(name), list[Any]()
        rest = [slice(0, size) for size in self.shapes[name][1:]]

        def rows(start: int, stop: int) -> Array:
            if self._params.in_parts(name):
                return self._params.part(name, (slice(start, stop), *rest))
            if not whole:
                found = self._params[name]
                whole.append(found if isinstance(found, RowsOnDemand) else np.asarray(found))
            return np.asarray(whole[0][start:stop])

        return rows

    def _name(self, name: str) -> str:
        return EMBEDDING if name == UNEMBEDDING and self.tied else name


def weight_changes(a: Model, b: Model, progress: Callable[[int, int], object] | None = None) -> WeightChanges:
    """Compare what two models have both. Raises UsageError where that is nothing, ModelError for weights that are no
    numbers."""
    of_a, of_b = OfModel(a), OfModel(b)
    names = list(dict.fromkeys([*of_a.shapes, *of_b.shapes]))
    pairs = [(name, of_a.shape(name), of_b.shape(name)) for name in names]
    common = _same_start(a, b)
    left_out, compared, sums = [], list[TensorChange](), list[SquaredChange]()
    for index, (name, shape_a, shape_b) in enumerate(pairs):
        if progress is not None:
            progress(index, len(pairs))
        rows = _rows(shape_a, shape_b, common if name in (EMBEDDING, UNEMBEDDING) else None)
        if rows is None or shape_a is None or shape_b is None:
            left_out.append(LeftOut(name, shape_a and list(shape_a), shape_b and list(shape_b)))  # type: ignore[arg-type]
            continue
        total = _total(name, of_a, of_b, rows, shape_a)
        layer, part = layer_and_part(name)
        shown = None if shape_a == shape_b else rows
        compared.append(TensorChange(name, layer, part, list(shape_a), total.relative, shown))
        sums.append(total)
    if not compared:
        raise UsageError(
            f"no tensor of {a.name} and {b.name} has the same name and shape",
            "compare a model with its fine-tune, or with the same in other bits",
        )
    return _summed(compared, sums, left_out)


def _summed(compared: list[TensorChange], sums: list[SquaredChange], left_out: list[LeftOut]) -> WeightChanges:
    whole = SquaredChange()
    of_part, of_layer = dict[str, SquaredChange](), dict[int, SquaredChange]()
    for tensor, total in zip(compared, sums, strict=True):
        whole += total
        of_part[tensor.part] = of_part.get(tensor.part, SquaredChange()) + total
        if tensor.layer is not None:
            of_layer[tensor.layer] = of_layer.get(tensor.layer, SquaredChange()) + total
    return WeightChanges(
        whole.relative,
        whole.count,
        sum(not total.change for total in sums),
        [PartChange(part, None, total.relative, total.count) for part, total in of_part.items()],
        [PartChange(None, layer, total.relative, total.count) for layer, total in sorted(of_layer.items())],
        compared,
        left_out,
    )


def layer_and_part(name: str) -> tuple[int | None, str]:
    """`layers.3.attention.query.weight` as layer 3, `attention.query`; of an encoder `encoder attention.query`.

    >>> layer_and_part("layers.3.attention.query.weight"), layer_and_part("embedding.weight")
    ((3, 'attention.query'), (None, 'embedding'))
    """
    found = OF_A_LAYER.fullmatch(name)
    layer, short = (None, name) if found is None else (int(found["index"]), found["short"])
    front = "" if found is None or found["stack"] == "layers" else found["stack"].removesuffix(".layers") + " "
    part, _, kind = short.rpartition(".")
    return layer, front + (part if kind in ("weight", "bias") else short)


def _rows(shape_a: tuple[int, ...] | None, shape_b: tuple[int, ...] | None, common: int | None) -> int | None:
    """How many rows are compared: all, or of two vocabularies those that both have; None where it cannot be done."""
    if shape_a is None or shape_b is None:
        return None
    if shape_a == shape_b:
        return shape_a[0] if shape_a else 1
    return common if common is not None and shape_a[1:] == shape_b[1:] else None


def _same_start(a: Model, b: Model) -> int | None:
    """How many tokens both vocabularies have, where one is the start of the other; else None."""
    if a.tokenizer is None or b.tokenizer is None:
        return None
    from llminspect.analysis.candidates import token_text

    count = min(a.config.sizes.V, b.config.sizes.V)
    same = all(token_text(a, token_id) == token_text(b, token_id) for token_id in range(count))
    return count if same else None


def _total(name: str, of_a: OfModel, of_b: OfModel, rows: int, shape: tuple[int, ...]) -> SquaredChange:
    step = max(1, NUMBERS // max(1, math.prod(shape[1:])))
    read_a, read_b = of_a.reader(name), of_b.reader(name)
    total = SquaredChange()
    for start, stop in _steps(rows, step):
        total += squared_change(read_a(start, stop), read_b(start, stop))
    if not math.isfinite(total.before + total.change):
        raise not_finite([name])
    return total


def _steps(rows: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, step):
        yield start, min(start + step, rows)
