"""A model's arrays as float32: how each is made from the model's own files, and where they are kept once made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from llminspect.files.prepared_file import Planned
from llminspect.model import reading
from llminspect.model.opened import Description
from llminspect.model.params import Params
from llminspect.model.spec import TensorSpec, expanded_shape

Progress = Callable[[str, int, int | None], None]

READING = 2
"""Goes up when other numbers are read from the same file than before: what was prepared until then is made anew."""


def planned(description: Description) -> list[tuple[TensorSpec, Planned]]:
    """Each array of the core, and how to make it."""
    sizes = description.config.sizes
    return [
        (spec, Planned(spec.name, expanded_shape(spec.shape, sizes), partial(reading.read_array, description, spec)))
        for spec in description.specs
    ]


def key_of(description: Description, in_blocks: int = 0) -> str:
    """Stands for the arrays of a model, of which `in_blocks` are used as the file has them: by the SHA-256 of the bytes
    that they are made from."""
    located = description.files
    # The family is part of the key: another reading of the same file must not find this one's arrays.
    key = f"{located.identity}-{description.architecture.name}-{READING}"
    key += f"-beside-{in_blocks}-in-blocks" if in_blocks else ""
    key += "".join(f"-ignoring-{name}" for name in located.read_as.get("ignored_settings", ()))
    if description.adapter is not None:
        key += f"-with-{description.adapter.files.identity}"
    return key


def prepared_params(
    description: Description, plan: list[Planned], in_blocks: Mapping[str, Any], finite: bool, progress: Progress | None
) -> Params:
    """The planned arrays from the cache, made for it if need be. Raises ModelError where a file changed while it was
    read, and where weights hold NaN or infinity, unless `finite` is false."""
    from llminspect.files.prepared import prepared

    located, adapter, key = description.files, description.adapter, key_of(description, len(in_blocks))
    source = {  # What `describe_model` needs to find the same model anew.
        "name": located.origin.get("repo") or str(located.path.absolute()),
        "revision": located.origin.get("revision"),
        "ignore_settings": list(located.read_as.get("ignored_settings", ())),
        "adapter": None if adapter is None else str(adapter.files.weights.path.parent.absolute()),
    }
    arrays = prepared(key, plan, progress=progress, source=source, check=located.check_unchanged)
    if finite and arrays.not_finite:
        raise reading.not_finite(arrays.not_finite)
    return Params({**arrays, **in_blocks})
