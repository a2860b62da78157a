"""What a model is, by its files: its family, its configuration, its arrays; and what the user passes over or adds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.errors import ModelError, TokenizerAlone, UsageError, reader, understood
from llminspect.files.folder import cannot_open
from llminspect.model.head_files import SETTING, has_head, with_gguf_head, with_head, without_head
from llminspect.model.opened import Description
from llminspect.model.registry import architecture_of, claim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llminspect.files.locate import Located
    from llminspect.model.head_files import Shapes
    from llminspect.model.spec import Architecture


@reader("the description of the model")
def describe(
    located: Located, ignore_settings: Sequence[str] = (), adapter: str | None = None, offline: bool = False
) -> Description:
    """Raises ModelError where anything is not understood, UsageError for settings that cannot be passed over."""
    if located.format == "gguf" and located.weights is not None and not located.weights.tensors:
        raise TokenizerAlone(f"{located.name} holds no weights")
    architecture = architecture_of(located.config, located.format, located.name)
    read_config = architecture.config_from_gguf if located.format == "gguf" else architecture.config_from_huggingface
    family, head = located.config.get("general.architecture"), SETTING[located.format]
    ignored = [name.removeprefix(f"{family}.") for name in ignore_settings if name != head]
    with understood("the file's metadata" if located.format == "gguf" else "config.json"):
        config = _passing_over(read_config, located.config, ignored) if ignored else read_config(located.config)
    weights = located.weights
    if weights is None:
        raise cannot_open(located.path)
    shapes = {name: info.shape for name, info in weights.tensors.items()}
    read_head = with_gguf_head if located.format == "gguf" else with_head
    if head in ignore_settings:
        architecture = _passing_over_head(architecture, located, shapes, read_head)
    else:
        architecture = read_head(architecture, located.config, shapes)
    sizes, tensors = config.sizes, len(weights.tensors)
    if tensors < sizes.L:
        raise ModelError(f"the configuration says {sizes.L} layers, and there are {tensors} tensors in all")
    if sizes.K and sizes.H % sizes.K:
        raise ModelError(f"{sizes.H} query heads cannot share {sizes.K} key/value heads evenly")
    if architecture.settle is not None:
        config = architecture.settle(config, weights)
    specs = claim(architecture, config, located.format, shapes)
    description = Description(located.name, architecture, config, specs, located)
    if ignore_settings:
        description = _read_as(description, ignored_settings=sorted(set(ignore_settings)))
    return description if adapter is None else _with_adapter(description, adapter, offline)


def _with_adapter(description: Description, name: str, offline: bool) -> Description:
    from llminspect.files.adapter import locate_adapter
    from llminspect.model.adapter import read_adapter  # It takes numpy, which a description does not.

    files = locate_adapter(name, offline=offline)
    # A GGUF file says by its tensors alone whether there are two matrices.
    tied = description.files.format == "huggingface" and getattr(description.config, "tied", False)
    two = any(spec.name == "unembedding.weight" for spec in description.specs) and not tied
    one_matrix = not two and description.capabilities != {"encode"}
    adapter = read_adapter(files, description.architecture, description.config.sizes, description.specs, one_matrix)
    return replace(_read_as(description, adapter=dict(files.provenance)), adapter=adapter)


def _read_as(description: Description, **what: Any) -> Description:
    """The same with more to its provenance."""
    located = description.files
    return replace(description, located=replace(located, read_as={**located.read_as, **what}))


def _passing_over_head(
    architecture: Architecture, located: Located, shapes: Shapes, read_head: Callable[..., Architecture]
) -> Architecture:
    """The family without the head of the file. Raises UsageError for a head that is understood."""
    name = SETTING[located.format]
    if not has_head(located.format, shapes):
        raise UsageError(f"--ignore-setting {name}: the model has no head for labels or spans", "leave the option out")
    try:
        read_head(architecture, located.config, shapes)
    except ModelError:
        return without_head(architecture, located.format)
    raise UsageError(f"--ignore-setting {name}: this head is understood", "leave the option out")


def _passing_over(
    read: Callable[[Mapping[str, Any], Sequence[str]], Any], values: Mapping[str, Any], names: Sequence[str]
) -> Any:
    """The configuration without the settings of these names. Raises UsageError for a name that the file does not have,
    and for one with which the rest is understood as well."""
    for name in names:
        if not _holds(values, name):
            raise UsageError(f"--ignore-setting {name!r:.100}: the model's file has no setting of that name")
    config = read(values, names)
    for name in names:
        try:
            read(values, [other for other in names if other != name])
        except ModelError:
            continue
        raise UsageError(f"--ignore-setting {name!r:.100}: this setting is understood", "leave the option out")
    return config


def _holds(values: Mapping[str, Any], name: str) -> bool:
    """Whether there is a key of that name, of a GGUF file after its family's, here or in an object within."""
    family = values.get("general.architecture")
    return any(key in values for key in (name, f"{family}.{name}")) or any(
        _holds(value, name) for value in values.values() if isinstance(value, dict)
    )


def layers_after(description: Description) -> int:
    """How many layers the file has that predict further tokens."""
    config, located = description.config, description.located
    names = () if located is None or located.weights is None else located.weights.tensors
    marks = [f"layers.{config.sizes.L + index}." for index in range(config.layers_after)]
    return sum(any(mark in name for name in names) for mark in marks)
