"""The options of `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from llminspect.arguments.ids import Ids
from llminspect.arguments.option import Argument, Option

BOUND = 1e-4
"""Of the relative difference. Rounding in float32 stays far below it, a wrong formula far above."""


@dataclass(frozen=True)
class VerifyOptions:
    """Which model, and what it is compared with."""

    name: Annotated[
        str | None, Argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="models")
    ] = None
    against: Annotated[
        Path | None, Option("--against", metavar="FILE.npz", help="Compare with these recorded activations.")
    ] = None
    record: Annotated[
        Path | None, Option("--record", metavar="FILE.npz", help="Write the activations of this model.")
    ] = None
    ids: Annotated[
        Ids | None, Option("--ids", metavar="1,2,3", help="The input. Default: ids from all over the vocabulary.")
    ] = None
    bound: Annotated[float, Option("--bound", min=0, help="The largest relative difference that passes.")] = BOUND
