"""What a head works with, as options name it: `3.2.query`, `3.2.key`, `3.2.value`, `3.2.pattern`; of all heads
`3.query`; before the norm and the rotation `3.2.query.projected`; of the attention to a source `3.cross`, `3.2.cross`,
`3.2.cross.query`, `3.2.cross.pattern`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.arguments.ranges import LONGEST, check_exists, shortened
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.intervention import Place
    from llminspect.model.opened import Model

FORMS = "3.2.query, 3.2.key, 3.2.value, 3.2.pattern"
_NAME = re.compile(rf"([0-9]{{1,{LONGEST}}})(?:\.([0-9]{{1,{LONGEST}}}))?\.([a-z_]+)(\.[a-z]+)?")


def parse_inside(model: Model, text: str, option: str) -> Place | None:
    """The place; None for what names none of these. Raises UsageError for one that the model does not have."""
    from llminspect.core.intervention import INNER, Place

    found, what = _NAME.fullmatch(text), f"{option} {shortened(text)!r}"
    if found is None:
        return None
    layer, head, part = int(found[1]), None if found[2] is None else int(found[2]), f"{found[3]}{found[4] or ''}"
    sizes = model.config.sizes
    if found[3] != "cross" and part not in INNER:
        return None
    check_exists(layer, sizes.L, "layer")
    if head is not None and sizes.H:
        check_exists(head, sizes.H, "head")
    if found[3] == "cross":
        return _crossing(model, Place(layer, "cross", head), found[4], what)
    check_attends(model, layer, what)
    if not sizes.H:
        raise UsageError(f"{what}: {model.name} has no attention")
    if part.endswith(".projected"):
        _check_projected(model, layer, found[3], what)
    return Place(layer, part, head, sharing=_sharing(model, layer, found[3]))  # type: ignore[arg-type]


def _crossing(model: Model, place: Place, step: str | None, what: str) -> Place:
    """The place in the attention to a source. UsageError: the model has none such, or its keys and values are meant."""
    if f"layers.{place.layer}.cross_attention.query.weight" not in model.params:
        raise UsageError(f"{what}: {model.name} has no attention to a source")
    if step is None:
        return place if place.head is None else replace(place, part="cross.head")
    if step in (".key", ".value"):
        raise UsageError(
            f"{what}: the keys and values of the source are made when it is read, before this pass",
            "3.2.cross is what a head takes from them, 3.2.cross.pattern where it looks",
        )
    if step not in (".query", ".pattern"):
        raise UsageError(f"{what} is not a part of the model", "write 3.cross, 3.2.cross, 3.2.cross.query")
    return replace(place, part=f"cross{step}")  # type: ignore[arg-type]


def check_attends(model: Model, layer: int, what: str) -> None:
    """Raise UsageError for a layer that has a state, or nothing, where others have attention."""
    from llminspect.core.numbers import ranges

    states = model.config.state_layers
    if not states or model.config.attends(layer):
        return
    attending = ranges(model.config.attending) or "none"
    has = "a state and no attention" if layer in states else "neither attention nor a state"
    instead = f"{layer}.state is what it has instead; " if layer in states else ""
    raise UsageError(f"{what}: that layer has {has}", f"{instead}layers with attention: {attending}")


def _sharing(model: Model, layer: int, name: str) -> int:
    """How many heads work with the same keys and values. Latent attention makes those of each head."""
    sizes = model.config.sizes
    if name not in ("key", "value") or sizes.Z:
        return 1
    return sizes.H // model.config.heads_of(layer)[0]


def _check_projected(model: Model, layer: int, name: str, what: str) -> None:
    """Raise UsageError where nothing lies between the map of a layer and what it works with."""
    config, lender = model.config, model.config.keys_of(layer)
    if name != "query" and lender != layer:
        raise UsageError(
            f"{what}: layer {layer} works with the keys and values of layer {lender}",
            f"{layer}.{name} changes them for layer {layer} alone, {lender}.{name}.projected where they are made",
        )
    normed = f"layers.{layer}.attention.{name}.norm.weight" in model.params
    if name == "value" and config.value_norms:
        return
    if name in ("query", "key") and (config.rotary is not None or normed or (name == "key" and config.sizes.Z)):
        return
    done = "norm" if name == "value" else "norm or turn"
    place = what.rpartition("'")[0].rpartition("'")[2].removesuffix(".projected")
    raise UsageError(f"{what}: layer {layer} does not {done} what its {name} map gives", f"{place} is the same")
