"""`--patch TEXT --into PLACE`: put in what another text gave at the same positions. Shared by `forward` and `generate`.

Wang et al. 2022, "Interpretability in the Wild" (activation patching).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llminspect.analysis.candidates import token_text
from llminspect.analysis.experiments import Experiment
from llminspect.analysis.passes import captured
from llminspect.analysis.prompt import check_prompt, prompt_of_ids, with_source
from llminspect.arguments.alignment import Aligned, parse_alignment
from llminspect.arguments.experiments import PatchOptions, parse_place
from llminspect.arguments.option import Texts, each
from llminspect.arguments.ranges import parse_choice
from llminspect.core.dataclass import dataclass
from llminspect.core.intervention import Place, replaced
from llminspect.core.numbers import ranges
from llminspect.core.tap import Tap
from llminspect.errors import UsageError
from llminspect.model.opened import Model


@dataclass(frozen=True)
class Other:
    """What is patched from: a text, and the model that reads it.

    That is the model which is patched. Of an encoder–decoder it is its decoder after another source, and what it reads
    is the same target.
    """

    model: Model
    ids: Sequence[int]
    aligned: Aligned | None = None
    """Which positions take from which, where the user says it."""

    def pairs(self, tokens: int) -> list[tuple[int, int]]:
        """Positions of a text of so many tokens, each with the one here that stands for it."""
        return [(at, at) for at in range(tokens)] if self.aligned is None else self.aligned.pairs

    def differing(self, model: Model, ids: Sequence[int]) -> list[int]:
        """The positions at which the two read something different; after another source that is every one."""
        pairs = self.pairs(len(ids))
        return [here for here, there in pairs if self.model is not model or ids[here] != self.ids[there]]

    def reads(self, position: int, tokens: int) -> int:
        """Where this text is read when the other, of so many tokens, is read at `position`. Raises UsageError for one
        that stands for none."""
        if position == tokens - 1:
            return len(self.ids) - 1
        there = dict(self.pairs(tokens)).get(position)
        if there is None:
            raise UsageError(f"--at {position} stands for no token of the other text", "leave out --at, or align it")
        return there

    def live(
        self, model: Model, ids: Sequence[int], pairs: Sequence[tuple[int, int]], position: int, side: int
    ) -> list[int]:
        """The positions of one of the two texts (0 the one that is patched, 1 this one) at which a patch can change
        what is read at `position`: not where both have the same vectors, and where nobody looks back, not later."""
        if not model.config.causal:
            return sorted(pair[side] for pair in pairs)
        same = 0
        if self.model.source is None and len(ids) == len(self.ids):
            while same < len(ids) and ids[same] == self.ids[same]:
                same += 1
        changing = [pair for pair in pairs if pair[0] != pair[1] or pair[0] >= same]
        return sorted(pair[side] for pair in changing if pair[side] <= position)


def other_text(model: Model, ids: Sequence[int], given_ids: Sequence[int], align: Texts | None = None) -> Other:
    """The text `given_ids` to patch `ids` from. Raises UsageError where that cannot go position by position, and where
    `align` does not say which stands for which."""
    check_prompt(model, prompt_of_ids(given_ids, None, None))
    if model.source is not None:
        if align is not None:
            raise UsageError("--align: the positions are those of the target, which is the same", "leave it out")
        return Other(with_source(model, given_ids), ids)
    if align is not None:
        here, there = (prompt_of_ids(text, model.tokenizer, None) for text in (ids, given_ids))
        return Other(model, given_ids, parse_alignment(align, here, there))
    if len(ids) != len(given_ids):
        strips = ["|".join(token_text(model, token_id) for token_id in text) for text in (ids, given_ids)]
        raise UsageError(
            f"--patch replaces position by position: the texts have {len(ids)} and {len(given_ids)} tokens",
            "choose words with the same number of tokens, or say with --align which stand for which: "
            f"{strips[0]} and {strips[1]}",
        )
    return Other(model, given_ids)


def into_places(
    model: Model, ids: Sequence[int], other: Other, patch: PatchOptions, taps: Sequence[Tap]
) -> tuple[list[Tap], list[Experiment]]:
    """The taps that patch where --into and --position say, and what they are."""
    places = [parse_place(model, text, "--into", stream=True) for text in each(patch.into)]
    crossing = [place for place in places if place.part == "cross.pattern"]
    if crossing and len(model.source_ids or ()) != len(other.model.source_ids or ()):
        raise UsageError(
            f"--into {crossing[0]}: a pattern has a column for each token of the source, and the other has another "
            "number of tokens",
            "take sources with the same number of tokens, or patch its query",
        )
    positions = parse_choice(patch.position, "position", len(ids))
    if other.aligned is None:
        # Each position by its number: a pass may go on after this text, and what comes there is not patched.
        at = list(range(len(ids))) if positions is None else positions
        return patch_taps(places, at, other, taps), patches_made(patch, places, positions)
    aligned = _chosen(other.aligned, positions)
    _check_patterns(places, aligned, len(ids), len(other.ids))
    made = [
        replace(entry, aligned=aligned) for entry in patches_made(patch, places, positions, "every aligned position")
    ]
    return patch_taps(places, [at for at, _ in aligned.pairs], other, taps, [at for _, at in aligned.pairs]), made


def _chosen(aligned: Aligned, positions: Sequence[int] | None) -> Aligned:
    """Of what is aligned that at the positions. Raises UsageError for one that stands for none."""
    if positions is None:
        return aligned
    missing = [at for at in positions if at in aligned.left_out]
    if missing:
        known = ranges([at for at, _ in aligned.pairs])
        raise UsageError(f"--position {missing[0]} stands for no token of the other text", f"aligned are {known}")
    return replace(aligned, pairs=[pair for pair in aligned.pairs if pair[0] in positions])


def _check_patterns(places: Sequence[Place], aligned: Aligned, tokens: int, others: int) -> None:
    """Raise UsageError for patterns of which a column would be another token's."""
    patterns = [place for place in places if place.part == "pattern"]
    if patterns and (tokens != others or any(here != there for here, there in aligned.pairs)):
        raise UsageError(
            f"--into {patterns[0]}: a pattern has a column for each token of its text, and cannot be aligned",
            "choose texts with the same number of tokens, or patch its query or key",
        )


def patch_taps(
    places: Sequence[Place],
    positions: Sequence[int],
    other: Other,
    taps: Sequence[Tap] = (),
    there: Sequence[int] | None = None,
) -> list[Tap]:
    """Taps that put what `other` gave into `places`, at `positions`; what it gave at the same ones, or at `there`.
    `taps` act on both texts; what is taken is what stood there before they acted, since they act on it again where it
    is put."""
    if not positions:
        return []
    capture, taken = captured(other.model, other.ids, (place.tap for place in places), taps), there or positions
    return [replaced(place, capture[place.tap][place.index(taken)], positions) for place in places]


def patches_made(
    patch: PatchOptions, places: Sequence[Place], positions: Sequence[int] | None, every: str = "every position"
) -> list[Experiment]:
    """What is patched, for the Result."""
    where = every if positions is None else "position " + ", ".join(map(str, positions))
    return [Experiment("patch", str(place), f"“{patch.patch}” at {where}", heads=place.shared) for place in places]
