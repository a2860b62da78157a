"""What changes a running model, `--ablate`, `--scale`, `--steer`, `--patch`, and where: `3.2`, `3.attention`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from llminspect.arguments.option import Option
from llminspect.arguments.ranges import Choice, Ids, check_exists, is_index, shortened
from llminspect.arguments.together import check_together
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


@dataclass(frozen=True)
class ExperimentOptions:
    """Changes to the running model."""

    ablate: Annotated[
        Texts | None,
        Option("--ablate", metavar="L.H", help="Silence a head 3.2, or 3.attention, 3.feedforward; repeatable."),
    ] = None
    ablate_with: Annotated[
        Literal["zero", "mean"],
        Option("--ablate-with", help="What an ablated part gives: nothing, or its mean over the text."),
    ] = "zero"
    scale: Annotated[
        Texts | None,
        Option("--scale", metavar="L.H*X", help="Multiply a head, attention or feedforward: 3.2*0.5."),
    ] = None
    steer: Annotated[
        Texts | None,
        Option("--steer", metavar="EXPR@L*X", help='Add a direction after layer L: "London - Paris@10*1".'),
    ] = None


@dataclass(frozen=True)
class PatchOptions:
    """What is put in from another text."""

    patch: Annotated[
        Ids | None, Option("--patch", metavar="TEXT", help="Put in what this text gave, place by place.")
    ] = None
    into: Annotated[
        Texts | None,
        Option("--into", metavar="PLACE", help="With --patch: only there: 3.stream, 3.attention, 3.2 (a head)."),
    ] = None
    position: Annotated[
        Choice | None, Option("--position", metavar="0,3-5", help="With --into: at these positions; else at all.")
    ] = None


def check_patch(patch: PatchOptions) -> None:
    """Raise UsageError for a patch that does not say where: one after the other, every place would be a text."""
    check_together("generate", patch)
