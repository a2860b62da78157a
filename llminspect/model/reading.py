"""How the arrays of the core come out of a model's own file: whole, in part, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.core.array import RowsOnDemand
from llminspect.errors import ModelError, understood
from llminspect.files import machine, remarks
from llminspect.files.weights import DECODABLE, all_finite
from llminspect.model.copies import differs
from llminspect.model.spec import expanded_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.core.array import Array
    from llminspect.files.prepared_file import Planned
    from llminspect.model.adapter import Adapter
    from llminspect.model.config import Config
    from llminspect.model.opened import Description
    from llminspect.model.params import OnDemand
    from llminspect.model.spec import TensorSpec


def read_array(description: Description, spec: TensorSpec) -> Array:
    """Make one array of the core from the tensors of the file."""
    located, weights = description.files, description.weights
    config, adapter = description.config, description.adapter
    parts = [weights.array(source) for source in spec.sources(located.format)]
    with understood(f"tensor {spec.name}"):  # The shape of one that is put together or turned.
        array = parts[0] if isinstance(getattr(spec, located.format), str) else np.stack(parts)
        fix = getattr(spec, f"{located.format}_fix")
        array = array if fix is None else fix(array, config)
    expected = expanded_shape(spec.shape, config.sizes)
    if array.shape != expected:
        raise ModelError(f"tensor {spec.name} has the shape {array.shape}, the configuration says {expected}")
    for name, copy in spec.copies:
        if differs(weights.array(name), copy, array, config):
            raise ModelError(
                f"tensor {name} is not what it should repeat: {copy.of or 'what the configuration says'}",
                "a model whose tensors differ there is of a kind that is not known",
            )
    return array if adapter is None or not adapter.changes(spec) else _with_added(array, adapter, spec, config)


def _with_added(model_array: Array, adapter: Adapter, spec: TensorSpec, config: Config) -> Array:
    with understood(f"the adapter's part of {spec.name}"):
        array, added = adapter.base(spec, config, model_array), adapter.added(spec, config)
    for shape in (array.shape, *([] if added is None else [added.shape])):
        if shape != model_array.shape:
            raise ModelError(
                f"the adapter's part of {spec.name} has the shape {shape}, the model's {model_array.shape}"
            )
    with np.errstate(over="ignore", invalid="ignore"):  # What is no number is found where it is kept.
        return array if added is None else array + added


def part_reader(description: Description, spec: TensorSpec) -> Callable[[tuple[slice, ...]], Array] | None:
    """How to make a part of an array from those rows of the file alone; None where the whole is needed for it."""
    located, weights = description.files, description.weights
    names = getattr(spec, located.format)
    added = description.adapter is not None and description.adapter.changes(spec)
    if getattr(spec, f"{located.format}_fix") is not None or not names or added:
        return None

    def read(index: tuple[slice, ...]) -> Array:
        rows, rest = index[0], index[1:]
        if isinstance(names, str):
            return weights.rows(names, rows.start, rows.stop)[(slice(None), *rest)]
        return np.stack([weights.rows(name, rest[0].start, rest[0].stop)[:, *rest[1:]] for name in names[rows]])

    return read


def row_by_row(on_demand: OnDemand, spec: TensorSpec, config: Config) -> Callable[[], Any]:
    """The matrix of the vocabulary as one that is never whole."""
    part = on_demand.parts[spec.name]
    rows, width = expanded_shape(spec.shape, config.sizes)
    return lambda: RowsOnDemand((rows, width), lambda start, stop: part((slice(start, stop), slice(0, width))))


def check_decodable(description: Description) -> None:
    """Raise ModelError where tensors are of types that are not decoded, before anything is read."""
    located, weights = description.files, description.weights
    names: dict[str, list[str]] = {}
    for spec in description.specs:
        for name in (*spec.sources(located.format), *(name for name, _ in spec.copies)):
            kind = weights.tensors[name].type
            if not weights.decodes(name):
                names.setdefault(kind, []).append(name)
    if names:
        kind, found = next(iter(names.items()))
        found = sorted(set(found))
        counted = f"{len(found)} tensor{'s are' if len(found) > 1 else ' is'} {kind}"
        others = ", ".join(f"{len(set(more))} {other}" for other, more in list(names.items())[1:])
        raise ModelError(
            f"{counted}{f', {others}' if others else ''}, which {'are' if others else 'is'} not decoded here: "
            f"{', '.join(found[:3])}{f' and {len(found) - 3} more' if len(found) > 3 else ''}",
            f"types that are: {', '.join(sorted(DECODABLE))}",
        )


def larger_than_memory(needed: int) -> bool:
    """Whether float32 weights of that many bytes cannot all stay in memory: mapped, every pass would read them anew."""
    there = machine.memory_bytes()
    if there is None or needed <= there:
        return False
    remarks.notice(
        f"the weights take {needed / 1e6:,.0f} MB as float32 and the machine has {there / 1e6:,.0f} MB: "
        "each layer is read again in each pass"
    )
    return True


def not_finite(names: Sequence[str]) -> ModelError:
    """That nothing which the model computes with these weights would be a number."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ModelError(
        f"weights hold NaN or infinity: {', '.join(names[:3])}{more}",
        "fetch the model again; llminspect verify shows how far the numbers go",
    )


def checked_array(planned: Planned) -> Array:
    """The array, read now. ModelError: it holds NaN or infinity."""
    array = planned.read()
    if not all_finite(array):
        raise not_finite([planned.name])
    return array
