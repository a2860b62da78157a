"""The options of `probe`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from llminspect.arguments.option import argument, option
from llminspect.arguments.ranges import Choice
from llminspect.core.dataclass import dataclass


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
