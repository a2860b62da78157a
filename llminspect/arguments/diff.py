"""The options of `diff`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from llminspect.arguments.option import Option


@dataclass(frozen=True)
class DiffOptions:
    """What is compared with."""

    against: Annotated[
        str | None, Option("--against", metavar="TEXT", help="Compare with this text in the same model.")
    ] = None
    against_model: Annotated[str | None, Option("--against-model", metavar="NAME", help="Compare with this model.")] = (
        None
    )
    top: Annotated[int, Option("--top", min=1, metavar="N", help="How many next tokens of each side.")] = 10
