"""The options of patching: `--patch TEXT --into PLACE --position N`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from llminspect.arguments.option import Option
from llminspect.arguments.places import Texts
from llminspect.arguments.ranges import Choice
from llminspect.errors import UsageError


@dataclass(frozen=True)
class PatchOptions:
    """What is put in from another text."""

    patch: Annotated[
        str | None, Option("--patch", metavar="TEXT", help="Put in what this text gave, place by place.")
    ] = None
    into: Annotated[
        Texts | None,
        Option("--into", metavar="PLACE", help="With --patch: only there: 3.stream, 3.attention, 3.2 (a head)."),
    ] = None
    position: Annotated[
        Choice | None, Option("--position", metavar="0,3-5", help="With --into: at these positions; else at all.")
    ] = None


def needs_of(patch: PatchOptions) -> list[tuple[bool, str, str]]:
    """Whether an option lacks the one without which it says nothing."""
    return [
        (bool(patch.into) and patch.patch is None, "--into", "--patch"),
        (patch.position is not None and not patch.into, "--position", "--into"),
    ]


def check_patch(patch: PatchOptions) -> None:
    """Raise UsageError for a patch that does not say where: one after the other, every place would be a text."""
    for wrong, option, other in needs_of(patch):
        if wrong:
            raise UsageError(f"{option} says nothing without {other}", f"give {other} as well")
    if patch.patch is not None and not patch.into:
        raise UsageError(
            "--patch without --into is a sweep, and each of its places would write a text of its own",
            "say where, as in --into 3.stream --position 4; llminspect forward --patch finds the place",
        )
