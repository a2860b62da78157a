"""Places in a model: `3.2` (layer 3, head 2), `3.attention`, `3.feedforward`, `3.stream`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from llminspect.arguments.ranges import check_exists, is_index, shortened
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.intervention import Place
    from llminspect.model.opened import Model

Texts: TypeAlias = str | Sequence[str]
"""One text or several: an option that may be given more than once."""


def each(texts: Texts | None) -> Sequence[str]:
    """One text as a list of one, None as none."""
    return [texts] if isinstance(texts, str) else texts or []


def parse_place(model: Model, text: str, option: str, *, stream: bool = False) -> Place:
    """`3.2`, `3.attention`, `3.feedforward` (and with `stream` `3.stream`). Raises UsageError for what is not there."""
    from llminspect.core.intervention import Place

    forms = "3.2 (layer 3, head 2), 3.attention, 3.feedforward" + (" or 3.stream" if stream else "")
    layer_text, _, part = text.strip().partition(".")
    parts = {"attention": "attention", "feedforward": "feedforward", **({"stream": "stream"} if stream else {})}
    if not is_index(layer_text) or not (is_index(part) or part in parts):
        raise UsageError(f"{option} {shortened(text)!r} is not a part of the model", f"write {forms}")
    layer, sizes = int(layer_text), model.config.sizes
    check_exists(layer, sizes.L, "layer")
    if is_index(part):
        check_exists(int(part), sizes.H, "head")
        return Place(layer, "head", int(part))
    if part == "attention" and not sizes.H:
        raise UsageError(f"{option} {text!r}: {model.name} has no attention")
    if part == "feedforward" and not sizes.F:
        raise UsageError(f"{option} {text!r}: {model.name} has no feed-forward step")
    return Place(layer, parts[part])  # type: ignore[arg-type]
