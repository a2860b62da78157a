"""`--over`: the same question in many texts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from llminspect.arguments.option import option
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class OverOptions:
    """Which texts."""

    heading: ClassVar[str] = "Over many texts"
    example: ClassVar[str] = "{command} --over texts.jsonl"

    over: Path | None = option(
        metavar="FILE.jsonl",
        help="In place of TEXT: one JSON object a line, with a text and what differs from text to text. Shows means "
        "over the texts. "
        "- reads standard input.",
    )
