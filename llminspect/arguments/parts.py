"""The options of `head`, `neuron` and `probe`, and which head or neuron is meant: `3.2`, `3.1066`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from llminspect.arguments.option import Texts, argument, option
from llminspect.arguments.ranges import Choice, check_exists, is_index, shortened
from llminspect.arguments.words import WORD_STARTS
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.intervention import Place
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class CorpusOptions:
    """Texts that are looked through."""

    heading: ClassVar[str] = "What to run it over"
    example: ClassVar[str] = "{command}{needed} --corpus notes.txt"

    corpus: Path | None = option(
        metavar="PATH", help="Run the model over this file, or all files of this folder, read as they are needed."
    )
    most: int | None = option(
        min=2, metavar="N", usual=8192, help="With --corpus: read at most N tokens of it.",
        show_default=False,
    )  # fmt: skip
    length: int | None = option(
        min=2, metavar="N", usual=128, help="With --corpus: how many tokens the model sees at once.",
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
    distance: int = option(0, min=0, metavar="N", help="How many tokens before the query the key stands.")
    top: int = option(8, min=1, metavar="N", help="How many tokens of each list.")
    words: bool = option(True, "--words/--no-words", help=f"Only {WORD_STARTS}, or all.")


@dataclass(frozen=True)
class NeuronOptions:
    """Which neuron, and what of it."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = "neuron 11.4 --top 5"
    needed: ClassVar[str] = " 11.4"

    place: str | None = argument(
        metavar="L.N", help="Layer and neuron, such as 3.1066; in a mixture of experts 3.2.7.", show_default=False
    )
    top: int = option(8, min=1, metavar="N", help="How many tokens of each list.")
    words: bool = option(True, "--words/--no-words", help=f"Only {WORD_STARTS}, or all.")
    examples: int | None = option(
        min=1, max=1000, metavar="N", usual=8, help="With --corpus: how many places are shown.", show_default=False
    )
    lowest: bool = option(False, help="With --corpus: the places with the lowest activations, not the highest.")


@dataclass(frozen=True)
class NeuronPlace:
    """A neuron of a layer, or of one of its experts."""

    layer: int
    neuron: int
    expert: int | None = None

    def __str__(self) -> str:
        return ".".join(str(part) for part in (self.layer, self.expert, self.neuron) if part is not None)


def parse_neuron(text: str | None) -> NeuronPlace:
    """`3.1066` as layer 3, neuron 1066; `3.2.7` as neuron 7 of expert 2. Raises UsageError for what is neither."""
    if text is None:
        raise UsageError("no neuron is named", "write layer and neuron, such as 3.1066")
    parts = text.strip().split(".")
    if len(parts) not in (2, 3) or not all(map(is_index, parts)):
        raise UsageError(
            f"neuron {shortened(text)!r} names no neuron",
            "write layer and neuron, such as 3.1066; in a mixture of experts layer, expert and neuron, such as 3.2.7",
        )
    layer, *expert, neuron = map(int, parts)
    return NeuronPlace(layer, neuron, *expert)


def parse_head(model: Model, text: str | None) -> Place:
    """`3.2` as layer 3, head 2. Raises UsageError for what is not there."""
    from llminspect.arguments.experiments import parse_place

    if text is None:
        raise UsageError("no head is named", "write layer and head, such as 3.2")
    layer, _, head = text.strip().partition(".")
    if not (is_index(layer) and is_index(head)):
        raise UsageError(f"head {shortened(text)!r} names no head", "write layer and head, such as 3.2")
    check_exists(int(layer), model.config.sizes.L, "layer")
    return parse_place(model, f"{layer}.{head}", "head")


@dataclass(frozen=True)
class ProbeOptions:
    """Which texts, and how what the stream says of them is measured."""

    heading: ClassVar[str] = "What to look at"
    example: ClassVar[str] = "probe reviews.jsonl --at 10-20"
    needed: ClassVar[str] = " reviews.jsonl"

    records: Path | None = argument(
        metavar="FILE.jsonl",
        help='A JSON object a line: {"text": …, "label": …}. - reads standard input.',
        show_default=False,
    )
    at: Choice = option("all", metavar="LAYER|all", help="After which layers: 10, 0,3-5, or all.")
    pool: Literal["last", "mean", "first"] = option(
        "last", help="The vector of a text: its last token's, the mean over its tokens, or its first token's."
    )
    labels: Literal["classes", "numbers"] | None = option(
        help="What labels are. Default: texts, true and false, and numbers of which there are only two are classes; "
        "other numbers are numbers.",
        show_default=False,
    )
    regression: Literal["logistic", "ridge"] | None = option(
        help="How the probe is fitted. Default: logistic for classes, ridge for numbers.", show_default=False
    )
    penalty: float = option(1.0, min=1e-6, max=1e6, metavar="X", help="Penalty on the squares of the weights.")
    folds: int = option(5, min=2, max=20, metavar="N", help="In how many parts the texts are split.")
    shuffles: int = option(3, min=1, max=100, metavar="N", help="How often labels are shuffled for the control.")
    seed: int = option(0, min=0, metavar="N", help="Seed of the split and the shuffles.")
