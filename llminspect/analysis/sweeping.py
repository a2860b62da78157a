"""`--patch TEXT` without --into: every place patched in turn, exactly or by gradients.

Wang et al. 2022, "Interpretability in the Wild" (activation patching); Heimersheim and Nanda 2024, "How to use and
interpret activation patching" (which text is put into which); Nanda 2023, "Attribution Patching", and Syed et al. 2023
(by gradients).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token
from llminspect.analysis.result import Dims
from llminspect.analysis.swept import HEADS, Agreement, SweepMaps, Swept, Watcher, agreement, places_of
from llminspect.analysis.token_scores import with_gradients
from llminspect.arguments.alignment import Aligned
from llminspect.arguments.forward import SweptPart
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Capture, Chain, Tap
from llminspect.core.unembed import Score
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.patching import Other


@dataclass(frozen=True)
class Sweep:
    """What comes of it when one place at a time is patched."""

    part: SweptPart
    target: NamedToken
    """The other text's answer."""
    versus: NamedToken
    """This text's answer."""
    before: float
    """logit of target − logit of versus after this text …"""
    after: float
    """… and after the other, without any patch."""
    restored: Array
    """[layers][positions], for heads [layers][heads]: 0 nothing comes back of the other text's answer, 1 all of it; by
    noising 0 nothing of it is lost, 1 all. No number at a position that stands for none of the other text."""
    differing: list[int]
    """The positions at which the two texts differ."""
    together: list[float] | None
    """For the stream: all differing positions patched at once, one number for each layer."""
    by: Literal["patching", "gradient"] = "patching"
    direction: Literal["denoising", "noising"] = "denoising"
    """Denoising puts the other text's vectors into this one, and sees what brings its answer back; noising puts this
    text's into the other, and sees what breaks it."""
    heads: Annotated[Array, Dims("L H T")] | None = None
    """For heads: at each position, by gradients or with `head-position`."""
    first_order: Array | None = None
    """With --gradient --exact: by gradients, of the shape of `heads`, or where that is not there of `restored` …"""
    agreement: Agreement | None = None
    """… and how well the two agree."""
    opened: list[int] | None = None
    """Layers of --layer, whose heads are drawn at each position."""
    aligned: Aligned | None = None
    """With --align: which positions stand for which."""


@dataclass(frozen=True)
class Side:
    """One of the two texts, and where it is read."""

    model: Model
    ids: Sequence[int]
    position: int

    def run(self, taps: Sequence[Tap]) -> tuple[Array, float]:
        """Its logits [V], and how many seconds a pass takes for each token."""
        begun = time.perf_counter()
        stream_TD = self.model.run(self.ids, Chain(taps)).stream_TD
        seconds = (time.perf_counter() - begun) / len(self.ids)
        return self.model.logits(stream_TD[self.position][None])[0], seconds


@dataclass(frozen=True)
class Patched:
    """The text that is patched, what is put into it and where, and the number it starts from and comes to."""

    side: Side
    part: SweptPart
    put: Mapping[str, Array]
    at: Sequence[int]
    """The positions that may be patched."""
    taps: Sequence[Tap]
    score: Score
    start: float
    end: float

    def shares(self, moved: Array) -> Array:
        """Of the way from the start to the end."""
        gap = self.end - self.start
        return moved / gap if abs(gap) > 1e-6 else np.zeros_like(moved)

    def by_gradient(self, together: Sequence[int]) -> tuple[float, SweepMaps]:
        """The number where nothing is patched; and the maps."""
        value, values, slopes = with_gradients(self.side.model).gradients(
            self.side.ids, list(self.put), self.score, Chain(self.taps)
        )
        moved = np.stack([((self.put[name] - values[name]) * slopes[name]).sum(axis=-1) for name in self.put])
        moved[..., np.setdiff1d(np.arange(len(self.side.ids)), self.at)] = 0.0
        shares = self.shares(moved)
        if self.part in HEADS:
            return value, SweepMaps(shares.sum(axis=-1), shares, None)
        return value, SweepMaps(shares, None, shares[..., list(together)].sum(axis=-1))

    def by_passes(
        self, live: Sequence[int], together: Sequence[int], seconds: float, watcher: Watcher | None
    ) -> SweepMaps:
        """The same exactly, by passes."""
        side = self.side
        swept = Swept(side.model, side.ids, side.position, self.part, self.put, self.taps, seconds, watcher)
        at_once = [at for at in together if at in live] if self.part == "stream" else []
        maps = swept.maps(live, at_once, self.score.of, self.start)
        shares = [None if found is None else self.shares(found - self.start) for found in vars(maps).values()]
        return SweepMaps(*shares)  # type: ignore[arg-type]


def sweep(
    model: Model,
    ids: Sequence[int],
    other: Other,
    position: int,
    part: SweptPart,
    answers: Sequence[int | None],
    taps: Sequence[Tap],
    *,
    gradient: bool = False,
    exact: bool = False,
    noising: bool = False,
    watcher: Watcher | None = None,
) -> Sweep:
    """Patch every layer at every position (every head at all positions, with `head-position` also at each) in turn.

    `answers` are target and versus; None: the other text's most probable token, and this text's. By `gradient` what
    that finds as far as it is a straight line: (the value that is put there − the one that was) · gradient, for all
    places in a few passes and one back; with `exact` both, and how well they agree.
    """
    names, pairs = [place.tap for place in places_of(model, part)], other.pairs(len(ids))
    sides = [Side(model, ids, position), Side(other.model, other.ids, other.reads(position, len(ids)))]
    changed, giving = (1, 0) if noising else (0, 1)
    source = Capture(*names)
    (this_V, _), (other_V, seconds) = (side.run([*taps, source] if side is sides[giving] else taps) for side in sides)
    target, versus = (
        int(np.argmax(end_V)) if answer is None else answer
        for answer, end_V in zip(answers, (other_V, this_V), strict=True)
    )
    ends = [float(end_V[target]) - float(end_V[versus]) for end_V in (this_V, other_V)]
    at, of = ([pair[index] for pair in pairs] for index in (changed, giving))
    put = {name: _put(source[name], of, at, len(sides[changed].ids)) for name in names}
    score, differing = Score(sides[changed].position, target, versus), other.differing(model, ids)
    patched = Patched(sides[changed], part, put, at, taps, score, ends[changed], ends[giving])
    there = [pair[changed] for pair in pairs if pair[0] in differing]
    value, by_gradient = patched.by_gradient(there) if gradient else (ends[changed], None)
    ends[changed] = ends[changed] if exact else value
    by_passes = None
    if exact or by_gradient is None:
        live = other.live(sides[changed].model, ids, pairs, sides[changed].position, changed)
        by_passes = patched.by_passes(live, there, seconds, watcher)
    maps = [None if found is None else _shown(found, part, pairs, at, ids) for found in (by_passes, by_gradient)]
    return Sweep(
        part=part,
        target=named_token(model, target), versus=named_token(model, versus), before=ends[0], after=ends[1],
        differing=differing, by="gradient" if by_passes is None else "patching",
        direction="noising" if noising else "denoising", aligned=other.aligned, **_fields(part, *maps),
    )  # fmt: skip


def _fields(part: SweptPart, by_passes: SweepMaps | None, by_gradient: SweepMaps | None) -> dict[str, Any]:
    """The maps as the Result has them."""
    maps = by_gradient if by_passes is None else by_passes
    assert maps is not None
    found: dict[str, Any] = {"restored": maps.each, "heads": maps.heads, "together": None}
    if part == "stream":
        found["together"] = [0.0] * len(maps.each) if maps.together is None else maps.together.tolist()
    if by_passes is not None and by_gradient is not None:
        exact = by_passes.each if by_passes.heads is None else by_passes.heads
        both = by_gradient.each if by_passes.heads is None else by_gradient.heads
        assert both is not None
        found |= {"first_order": both, "agreement": agreement(part, exact, both)}
    return found


def _shown(
    maps: SweepMaps, part: SweptPart, pairs: Sequence[tuple[int, int]], at: Sequence[int], ids: Sequence[int]
) -> SweepMaps:
    """By the positions of this text; those that stand for none of the other have no number."""

    def placed(map_LT: Array) -> Array:
        found_LT = np.full((*map_LT.shape[:-1], len(ids)), np.nan)
        found_LT[..., [pair[0] for pair in pairs]] = map_LT[..., list(at)]
        return found_LT

    heads = None if maps.heads is None else placed(maps.heads)
    return SweepMaps(maps.each if part in HEADS else placed(maps.each), heads, maps.together)


def _put(array: Array, of: Sequence[int], at: Sequence[int], tokens: int) -> Array:
    """What stood at the positions `of`, at those `at` of a text of so many tokens."""
    if list(of) == list(at) == list(range(tokens)) and array.shape[-2] == tokens:
        return array
    placed = np.zeros((*array.shape[:-2], tokens, array.shape[-1]), array.dtype)
    placed[..., list(at), :] = array[..., list(of), :]
    return placed


def deepest(found: Sweep) -> tuple[int, bool]:
    """The last layer after which the differing words still carry at least half of the answer, and whether there is one:
    else it is the first."""
    carried = [layer for layer, share in enumerate(found.together or []) if share >= 0.5]
    return (carried[-1], True) if carried else (0, False)
