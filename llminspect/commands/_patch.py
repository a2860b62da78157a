"""`--patch TEXT --into PLACE`: put in what another text gave at the same positions. Shared by `forward` and `generate`.

Wang et al. 2022, "Interpretability in the Wild" (activation patching).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.commands._experiments import Experiment
    from llminspect.core.intervention import Place
    from llminspect.core.tap import Tap
    from llminspect.model import Model


@dataclass(frozen=True)
class PatchOptions:
    """What is put in from another text."""

    patch: Annotated[
        str | None, typer.Option("--patch", metavar="TEXT", help="Put in what this text gave, place by place.")
    ] = None
    into: Annotated[
        list[str] | None,
        typer.Option("--into", metavar="PLACE", help="With --patch: only there: 3.stream, 3.attention, 3.2 (a head)."),
    ] = None
    position: Annotated[
        str | None, typer.Option("--position", metavar="0,3-5", help="With --into: at these positions; else at all.")
    ] = None


def needs_of(patch: PatchOptions) -> list[tuple[bool, str, str]]:
    """Whether an option lacks the one without which it says nothing."""
    return [
        (bool(patch.into) and patch.patch is None, "--into", "--patch"),
        (patch.position is not None and not patch.into, "--position", "--into"),
    ]


def check_place(patch: PatchOptions) -> None:
    """Raise UsageError for a patch that does not say where: one after the other, every place would be a text."""
    for wrong, option, other in needs_of(patch):
        if wrong:
            raise UsageError(f"{option} says nothing without {other}", f"give {other} as well")
    if patch.patch is not None and not patch.into:
        raise UsageError(
            "--patch without --into is a sweep, and each of its places would write a text of its own",
            "say where, as in --into 3.stream --position 4; llminspect forward --patch finds the place",
        )


@dataclass(frozen=True)
class Other:
    """What is patched from: a text, and the model that reads it.

    That is the model which is patched. Of an encoder–decoder it is its decoder behind another source, and what it reads
    is the same target.
    """

    model: Model
    ids: Sequence[int]

    def differing(self, model: Model, ids: Sequence[int]) -> list[int]:
        """The positions at which the two read something different; behind another source that is every one."""
        if self.model is not model:
            return list(range(len(ids)))
        return [index for index, (own, other) in enumerate(zip(ids, self.ids, strict=True)) if own != other]


def other_text(model: Model, ids: Sequence[int], given_ids: Sequence[int]) -> Other:
    """The text `given_ids` to patch `ids` from. Raises UsageError where that cannot go position by position."""
    from llminspect.commands._input import prompt_of_ids
    from llminspect.commands._run import check_prompt
    from llminspect.commands._target import with_source

    check_prompt(model, prompt_of_ids(given_ids, None, None))
    if model.source is not None:
        return Other(with_source(model, given_ids), ids)
    same_length(model, ids, given_ids)
    return Other(model, given_ids)


def same_length(model: Model, ids: Sequence[int], other_ids: Sequence[int]) -> None:
    """Raise UsageError where two texts cannot be patched position by position."""
    from llminspect.commands._words import token_text

    if len(ids) != len(other_ids):
        strips = ["|".join(token_text(model, token_id) for token_id in own) for own in (ids, other_ids)]
        raise UsageError(
            f"--patch goes position by position: the texts have {len(ids)} and {len(other_ids)} tokens",
            f"choose words of as many tokens: {strips[0]} and {strips[1]}",
        )


def into_places(
    model: Model, ids: Sequence[int], other: Other, patch: PatchOptions, taps: Sequence[Tap]
) -> tuple[list[Tap], list[Experiment]]:
    """The taps that patch where --into and --position say, and what they are."""
    from llminspect.commands._experiments import parse_place
    from llminspect.commands._words import select

    places = [parse_place(model, text, "--into", stream=True) for text in patch.into or []]
    positions = select(patch.position, len(ids), "position", "--position")
    # Each position by its number: a pass may go on behind this text, and what stands there is not patched.
    at = list(range(len(ids))) if positions is None else positions
    return patch_taps(places, at, other, taps), told(patch, places, positions)


def patch_taps(places: Sequence[Place], positions: Sequence[int], other: Other, taps: Sequence[Tap] = ()) -> list[Tap]:
    """Taps that put what `other` gave into `places`, at `positions`. `taps` act on both texts; what is taken is what
    stood there before they acted, since they act on it again where it is put."""
    from llminspect.core.intervention import replaced
    from llminspect.core.tap import Capture, Chain

    if not positions:
        return []
    capture = Capture(*(place.tap for place in places))
    other.model.run(other.ids, Chain([capture, *taps]))
    return [replaced(place, capture[place.tap][place.index(positions)], positions) for place in places]


def told(patch: PatchOptions, places: Sequence[Place], positions: Sequence[int] | None) -> list[Experiment]:
    """What is patched, for the Result."""
    from llminspect.commands._experiments import Experiment

    where = "every position" if positions is None else "position " + ", ".join(map(str, positions))
    return [Experiment("patch", str(place), f"“{patch.patch}” at {where}") for place in places]
