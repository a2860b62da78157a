"""The options of `info`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from llminspect.arguments.option import Argument, Option


@dataclass(frozen=True)
class InfoOptions:
    """Which model, and how much of it."""

    name: Annotated[
        str | None, Argument(metavar="[MODEL]", help="As --model.", show_default=False, completes="tokenizers")
    ] = None
    tensors: Annotated[
        bool, Option("--tensors", help="Every tensor on its own line, all settings, the whole chat template.")
    ] = False
