"""The options of `head` and `neuron`, and which head or neuron is meant: `3.2`, `3.1066`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from llminspect.arguments.option import Texts, argument, option
from llminspect.arguments.ranges import check_exists, is_index, shortened
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.intervention import Place
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class CorpusOptions:
    """Texts that are looked through."""

    heading: ClassVar[str] = "What to run it over"
    example: ClassVar[str] = "{command}{needed} --corpus docs --most 256"

    corpus: Path | None = option(
        metavar="PATH", help="Run the model over this file, or all files of this folder, read as they are needed."
    )
    most: int | None = option(
        min=2, metavar="N", usual=8192, help="With --corpus: so many tokens of it at most.",
        show_default=False,
    )  # fmt: skip
    length: int | None = option(
        min=2, metavar="N", usual=128, help="With --corpus: tokens that the model sees together.",
        show_default=False,
    )  # fmt: skip


@dataclass(frozen=True)
class HeadOptions:
    """Which head, and what of it."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = 'head 11.4 --token " Paris"'
    needed: ClassVar[str] = " 11.4"

    place: str | None = argument(metavar="L.H", help="Layer and head, such as 3.2.", show_default=False)
    token: Texts | None = option(
        metavar="TOKEN", help="What this token writes, and what it looks for: its text, or #ID; repeatable."
    )
    distance: int = option(0, min=0, metavar="N", help="How many tokens a key stands before the query.")
    top: int = option(8, min=1, metavar="N", help="How many tokens of each list.")
    words: bool = option(True, "--words/--no-words", help="Only tokens that are whole words, or all.")


def parse_head(model: Model, text: str | None) -> Place:
    """`3.2` as layer 3, head 2. Raises UsageError for what is not there."""
    from llminspect.arguments.experiments import parse_place

    layer, _, head = (text or "").strip().partition(".")
    if not (is_index(layer) and is_index(head)):
        raise UsageError(f"head {shortened(text or '')!r} names no head", "write layer and head, such as 3.2")
    check_exists(int(layer), model.config.sizes.L, "layer")
    return parse_place(model, f"{layer}.{head}", "head")
