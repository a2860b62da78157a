"""`--patch TEXT` without --into: every place patched in turn, exactly or by gradients.

Wang et al. 2022, "Interpretability in the Wild" (activation patching); Nanda 2023, "Attribution Patching", and Syed et
al. 2023 (by gradients). Swap the two texts to go the other way, from the text with the answer towards the one without.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token
from llminspect.analysis.result import Dims
from llminspect.analysis.states import check_attention
from llminspect.analysis.token_scores import TOKENS_AT_ONCE, with_gradients
from llminspect.core.array import Array, namespace
from llminspect.core.dataclass import dataclass
from llminspect.core.intervention import Place
from llminspect.core.numbers import count, several
from llminspect.core.tap import Capture, Chain, Edit, Tap
from llminspect.core.unembed import Score
from llminspect.errors import UsageError
from llminspect.model.transformer import forward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.analysis.patching import Other
    from llminspect.model.opened import Model

SweptPart = Literal["stream", "attention", "feedforward", "head", "head-position"]


@dataclass(frozen=True)
class SweptCell:
    """One place of a sweep, by both ways."""

    layer: int
    head: int | None
    position: int | None
    exact: float
    gradient: float


@dataclass(frozen=True)
class Agreement:
    """How well gradients tell what patching finds."""

    cells: int
    correlation: float
    """Pearson's, over all cells; no number where all cells of one of them are equal."""
    worst: SweptCell
    """Where the two are farthest apart."""


@dataclass(frozen=True)
class Sweep:
    """How much of the other text's answer comes back when one place at a time is patched."""

    part: SweptPart
    target: NamedToken
    """The other text's answer."""
    versus: NamedToken
    """This text's answer."""
    before: float
    """logit of target − logit of versus without any patch."""
    after: float
    """The same for the other text."""
    restored: Array
    """[layers][positions], for heads [layers][heads]: 0 nothing comes back, 1 all of it."""
    differing: list[int]
    """The positions at which the two texts differ."""
    together: list[float] | None
    """For the stream: all differing positions patched at once, a number a layer."""
    by: Literal["patching", "gradient"] = "patching"
    heads: Annotated[Array, Dims("L H T")] | None = None
    """For heads: at each position, by gradients or with `head-position`."""
    first_order: Array | None = None
    """With --gradient --exact: by gradients, of the shape of `heads`, or where that is not there of `restored` …"""
    agreement: Agreement | None = None
    """… and how well the two agree."""
    opened: list[int] | None = None
    """Layers of --layer, whose heads are drawn at each position."""


@dataclass(frozen=True)
class Watcher:
    """Who is told what a sweep costs before it starts, and what is done of it."""

    announce: Callable[[str], object]
    progress: Callable[[str, int, int], object] | None


def _swapped(array: Array, chosen: Array, other: Array) -> Array:
    """`other` where `chosen`; for most layers of a batch that is nowhere."""
    if isinstance(array, np.ndarray) and not chosen.any():
        return array
    swapped: Array = namespace(array).where(chosen, other, array)
    return swapped


def _batch_patch(changes: Sequence[tuple[int, list[int]]], places: Sequence[Place], source: Capture) -> list[Tap]:
    """Each text of a batch patched at a place of its own: the layer, and which heads or positions. An `Edit` for every
    layer, so that all batches are one program for an engine that compiles."""
    taps: list[Tap] = []
    for layer, place in enumerate(places):
        other = source[place.tap]  # [H, T, E] or [T, D]
        chosen = np.zeros((len(changes), other.shape[0]), dtype=bool)
        for row, (at, rows) in enumerate(changes):
            if at == layer:
                chosen[row, rows] = True
        taps.append(Edit(place.tap, _swapped, chosen.reshape(*chosen.shape, *[1] * (other.ndim - 1)), other))
    return taps


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
    watcher: Watcher | None = None,
) -> Sweep:
    """Patch every layer at every position (every head at all positions, with `head-position` also at each) in turn.

    `answers` are target and versus; None: the other text's most probable token, and this text's. By `gradient` what
    that finds as far as it is a straight line: (the other's value − this text's) · gradient, for all places in a few
    passes and one back; with `exact` both, and how well they agree.
    """
    heads = part in ("head", "head-position")
    _check_part(model, part)
    engine = with_gradients(model) if gradient else None
    places = [Place(layer, "head" if heads else part) for layer in range(model.config.sizes.L)]  # type: ignore[arg-type]
    differing = other.differing(model, ids)
    source, begun = Capture(*(place.tap for place in places)), time.perf_counter()
    streams = other.model.run(other.ids, Chain([*taps, source])).stream_TD, model.run(ids, Chain(taps)).stream_TD
    seconds = (time.perf_counter() - begun) / (2 * len(ids))
    ends = [model.logits(stream_TD[position][None])[0] for stream_TD in streams]
    target, versus = (
        int(np.argmax(end_V)) if answer is None else answer for answer, end_V in zip(answers, ends, strict=True)
    )
    after, before = (float(end_V[target]) - float(end_V[versus]) for end_V in ends)
    first_order = None
    if engine is not None:
        names = [place.tap for place in places]
        score, values, slopes = engine.gradients(ids, names, Score(position, target, versus), Chain(taps))
        before = before if exact else score
        moved = np.stack([((source[name] - values[name]) * slopes[name]).sum(axis=-1) for name in names])
        first_order = _shares(moved, after - before)
    if first_order is not None and not exact:
        at_each, restored = (first_order, first_order.sum(axis=-1)) if heads else (None, first_order)
        together = first_order[:, differing].sum(axis=-1)
    else:
        swept = Swept(model, ids, position, places, source, (target, versus), taps, watcher, seconds)
        at_each, restored, together = _exact_shares(swept, part, differing, before, after)
    both = first_order if exact else None
    both = both.sum(axis=-1) if both is not None and part == "head" else both
    return Sweep(
        part=part,
        target=named_token(model, target), versus=named_token(model, versus), before=before, after=after,
        restored=restored, differing=differing,
        together=together.tolist() if part == "stream" else None,
        by="gradient" if gradient and not exact else "patching",
        heads=at_each,
        first_order=both,
        agreement=None if both is None else agreement(part, restored if at_each is None else at_each, both),
    )  # fmt: skip


def _check_part(model: Model, part: SweptPart) -> None:
    """Raise UsageError where the model has no such part."""
    if part in ("head", "head-position", "attention"):
        check_attention(model, range(model.config.sizes.L), {f"--sweep {part}": True})
    if part == "feedforward" and not model.config.sizes.F:
        raise UsageError(f"--sweep feedforward: {model.name} has no feed-forward step", "--sweep stream")


def _exact_shares(
    swept: Swept, part: SweptPart, differing: Sequence[int], before: float, after: float
) -> tuple[Array | None, Array, Array]:
    """By a pass a place: heads at each position, where that is wanted; the map; all differing positions at once."""
    layers, tokens, at_each = len(swept.places), len(swept.ids), None
    across = swept.model.config.sizes.H if part in ("head", "head-position") else tokens
    changes = [(layer, [at]) for layer in range(layers) for at in range(across)]
    changes += [(layer, list(differing)) for layer in range(layers)] if part == "stream" else []
    if part == "head-position":
        moved = swept.heads_at_each(differing) - before
        same = np.arange(tokens) < _first(swept.model, differing)
        at_each = _shares(np.where(same, 0.0, moved), after - before)
    scores = _patched(swept, changes)
    shares, grid = _shares(np.asarray(scores) - before, after - before), layers * across
    return at_each, shares[:grid].reshape(layers, across), shares[grid:]


def agreement(part: SweptPart, exact: Array, gradient: Array) -> Agreement:
    """How far one map is from the other, cell by cell."""
    with np.errstate(all="ignore"):
        correlation = float(np.corrcoef(exact.ravel(), gradient.ravel())[0, 1]) if exact.size > 1 else float("nan")
    layer, *at = (int(index) for index in np.unravel_index(np.abs(exact - gradient).argmax(), exact.shape))
    head, position = {"head": (at[0], None), "head-position": (at[0], at[-1])}.get(part, (None, at[-1]))
    place = (layer, *at)
    cell = SweptCell(layer, head, position, float(exact[place]), float(gradient[place]))
    return Agreement(exact.size, correlation, cell)


def _first(model: Model, differing: Sequence[int]) -> int:
    """The first position at which a patch can change anything: before it both texts have the same streams."""
    return min(differing, default=0) if model.config.causal else 0


def _shares(moved: Array, gap: float) -> Array:
    return moved / gap if abs(gap) > 1e-6 else np.zeros_like(moved)


@dataclass(frozen=True)
class Swept:
    """What is patched, and what is measured."""

    model: Model
    ids: Sequence[int]
    position: int
    places: Sequence[Place]
    source: Capture
    answers: tuple[int, int]
    taps: Sequence[Tap]
    watcher: Watcher | None
    seconds: float
    """Of a pass, for each token."""

    def scores(self, last_BD: Array) -> list[float]:
        """logit of target − logit of versus of each text of a batch."""
        exact_BV = self.model.logits(last_BD).astype(np.float64)
        found: list[float] = (exact_BV[:, self.answers[0]] - exact_BV[:, self.answers[1]]).tolist()
        return found

    def heads_at_each(self, differing: Sequence[int]) -> Array:
        """The number [L, H, T] with each head patched at each position from the first on that can change anything.

        What comes before a position is the same in all passes of that position: where nothing but the patch acts on a
        causal model without a state its keys and values are kept, and only what follows is computed.
        """
        sizes, tokens = self.model.config.sizes, len(self.ids)
        found_LHT = np.zeros((sizes.L, sizes.H, tokens))
        positions = range(_first(self.model, differing), self.position + 1 if self.model.config.causal else tokens)
        kept = self.model.config.causal and not self.taps and self.model.engine is None and self.model.source is None
        kept = kept and not self.model.config.state_layers and self.model.architecture.forward is forward
        cells = [(layer, head) for layer in range(sizes.L) for head in range(sizes.H)]
        if self.watcher is not None:
            passed = sum(tokens - at if kept else tokens for at in positions) * len(cells) * self.seconds
            cost = (
                f"{count(len(cells) * len(positions))} cells ({several(len(cells), 'head')} at {count(len(positions))}"
            )
            self.watcher.announce(f"{cost} of {count(tokens)} positions), one pass each: at most about {passed:.0f} s")
        for at in positions:
            begin = at if kept else 0
            before = self.model.run(np.asarray(self.ids[:begin])[None]).cache if begin else None
            size = max(1, TOKENS_AT_ONCE // (tokens - begin))
            for start in range(0, len(cells), size):
                some = cells[start : start + size]
                cache = None if before is None else before.of_texts(np.zeros(len(some), int))
                ids_BT = np.broadcast_to(np.asarray(self.ids[begin:]), (len(some), tokens - begin))
                tap = Chain([*self.taps, *self._at(some, at, begin)])
                last_BD = self.model.run(ids_BT, tap, cache).stream_TD[:, self.position - begin]
                for (layer, head), score in zip(some, self.scores(last_BD), strict=True):
                    found_LHT[layer, head, at] = score
                if self.watcher is not None and self.watcher.progress is not None:
                    done = (at - positions.start) * len(cells) + start + len(some)
                    self.watcher.progress("patching heads", done, len(cells) * len(positions))
        if self.model.config.causal:  # What comes after the position that is read changes nothing there.
            found_LHT[..., self.position + 1 :] = float(self.before())
        return found_LHT

    def before(self) -> float:
        return self.scores(self.model.run(self.ids, Chain(self.taps)).stream_TD[self.position][None])[0]

    def _at(self, some: Sequence[tuple[int, int]], at: int, begin: int) -> list[Tap]:
        """Each text of a batch with one head of one layer patched at one position; the pass begins at `begin`."""
        taps: list[Tap] = []
        for layer, place in enumerate(self.places):
            other_HTE = self.source[place.tap][:, begin:]
            chosen = np.zeros((len(some), *other_HTE.shape[:2], 1), dtype=bool)
            for row, (of, head) in enumerate(some):
                chosen[row, head, at - begin] = of == layer
            taps.append(Edit(place.tap, _swapped, chosen, other_HTE))
        return taps


def _patched(swept: Swept, changes: Sequence[tuple[int, list[int]]]) -> list[float]:
    """The number after each of the changes, in batches of one size, the last filled up, so that an engine that compiles
    does so once."""
    model, ids = swept.model, swept.ids
    batches = -(-len(changes) // max(1, TOKENS_AT_ONCE // len(ids)))
    size = -(-len(changes) // batches)
    batch_BT = np.broadcast_to(np.asarray(ids), (size, len(ids)))
    scores: list[float] = []
    for start in range(0, len(changes), size):
        now = changes[start : start + size]
        filled = [*now, *[now[-1]] * (size - len(now))]
        tap = Chain([*swept.taps, *_batch_patch(filled, swept.places, swept.source)])
        scores += swept.scores(model.run(batch_BT, tap).stream_TD[:, swept.position])[: len(now)]
    return scores


def deepest(found: Sweep) -> int:
    """The last layer after which the differing words still carry at least half of the answer (else the first)."""
    carried = [layer for layer, share in enumerate(found.together or []) if share >= 0.5]
    return carried[-1] if carried else 0
