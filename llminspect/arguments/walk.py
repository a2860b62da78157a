"""The options of `walk`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from llminspect.arguments.option import Option


@dataclass(frozen=True)
class WalkOptions:
    """How it goes from one step to the next."""

    paused: Annotated[
        bool | None,
        Option(
            "--pause/--no-pause",
            help="Wait for Enter after each step. Default: on a terminal.",
            show_default=False,
        ),
    ] = None
