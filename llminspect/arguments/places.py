"""Places in a model: `3.2` (layer 3, head 2), `3.attention`, `3.feedforward`, `3.stream`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.intervention import Place
    from llminspect.model.opened import Model


def parse_place(model: Model, text: str, option: str, *, stream: bool = False) -> Place:
    """`3.2`, `3.attention`, `3.feedforward` (and with `stream` `3.stream`). Raises UsageError for what is not there."""
    from llminspect.arguments.ranges import check_exists
    from llminspect.core.intervention import Place

    forms = "3.2 (layer 3, head 2), 3.attention, 3.feedforward" + (" or 3.stream" if stream else "")
    layer_text, _, part = text.strip().partition(".")
    parts = {"attention": "attention", "feedforward": "feedforward", **({"stream": "stream"} if stream else {})}
    if not layer_text.isdecimal() or not (part.isdecimal() or part in parts):
        raise UsageError(f"{option} {text!r} is not a part of the model", f"write {forms}")
    layer, sizes = int(layer_text), model.config.sizes
    check_exists(layer, sizes.L, "layer")
    if part.isdecimal():
        check_exists(int(part), sizes.H, "head")
        return Place(layer, "head", int(part))
    if part == "attention" and not sizes.H:
        raise UsageError(f"{option} {text!r}: {model.name} has no attention")
    if part == "feedforward" and not sizes.F:
        raise UsageError(f"{option} {text!r}: {model.name} has no feed-forward step")
    return Place(layer, parts[part])  # type: ignore[arg-type]
