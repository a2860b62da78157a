"""The options of patching: `--patch TEXT --into PLACE --position N`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from llminspect.arguments.ids import Ids
from llminspect.arguments.option import Option
from llminspect.arguments.places import Texts
from llminspect.arguments.ranges import Choice
from llminspect.arguments.together import check_together


@dataclass(frozen=True)
class PatchOptions:
    """What is put in from another text."""

    patch: Annotated[
        Ids | None, Option("--patch", metavar="TEXT", help="Put in what this text gave, place by place.")
    ] = None
    into: Annotated[
        Texts | None,
        Option("--into", metavar="PLACE", help="With --patch: only there: 3.stream, 3.attention, 3.2 (a head)."),
    ] = None
    position: Annotated[
        Choice | None, Option("--position", metavar="0,3-5", help="With --into: at these positions; else at all.")
    ] = None


def check_patch(patch: PatchOptions) -> None:
    """Raise UsageError for a patch that does not say where: one after the other, every place would be a text."""
    check_together("generate", patch)
