"""The options of `pull`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from llminspect.arguments.option import Argument
from llminspect.arguments.shared import Offline, Revision


@dataclass(frozen=True)
class PullOptions:
    """What is fetched."""

    name: Annotated[
        str,
        Argument(metavar="NAME", help="A name of `llminspect models`, or org/name on the hub.", completes="catalogue"),
    ] = "smollm2"
    revision: Revision = None
    offline: Offline = False
