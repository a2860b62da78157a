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
        help="In place of TEXT: a JSON object a line with its text, and what differs from text to text; gives means. "
        "- reads standard input.",
    )
