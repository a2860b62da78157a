"""The passes of a sweep: one place of the model changed at a time, many in a batch, and how two ways to do it agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from llminspect.analysis.states import check_attention
from llminspect.analysis.token_scores import TOKENS_AT_ONCE
from llminspect.arguments.experiments import ExperimentOptions, ablates_each
from llminspect.arguments.forward import SweepOptions, SweptPart
from llminspect.core.array import Array, namespace
from llminspect.core.dataclass import dataclass
from llminspect.core.intervention import Place
from llminspect.core.numbers import count, duration, several
from llminspect.core.tap import Chain, Edit, Tap
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.model.transformer import forward

HEADS: dict[str, Literal["head", "cross.head"]] = {
    "head": "head", "head-position": "head", "cross-head": "cross.head",
}  # fmt: skip
"""Of the parts that are swept head by head, what of a layer is changed."""
WORTH_SAYING = 1.0
"""Seconds from which on it is said before how long a sweep takes, and shown how far it is."""


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
    """How well gradients tell what passes find."""

    cells: int
    correlation: float
    """Pearson's, over all cells; no number where all cells of one of them are equal."""
    worst: SweptCell
    """Where the two are farthest apart."""


@dataclass(frozen=True)
class Watcher:
    """Who is told what a sweep costs before it starts, and how much of it is done."""

    announce: Callable[[str], object]
    progress: Callable[[str, int, int], object] | None


@dataclass(frozen=True)
class Changed:
    """One place that is changed: a head of a layer, or all that it gives, at some positions."""

    layer: int
    head: int | None
    positions: Sequence[int]


@dataclass(frozen=True)
class SweepMaps:
    """What passes give, place by place; the last axes are those of what is measured."""

    each: Array
    """[L, T], of heads at all positions at once [L, H]."""
    heads: Array | None
    """Of heads at single positions, [L, H, T]."""
    together: Array | None
    """Several positions at once, [L]."""


def places_of(model: Model, part: SweptPart) -> list[Place]:
    """What is changed, layer by layer. Raises UsageError where the model has no such part."""
    layers, option = range(model.config.sizes.L), f"--sweep {part}"
    if part in ("head", "head-position", "attention"):
        check_attention(model, layers, {option: True})
    if part == "feedforward" and not model.config.sizes.F:
        raise UsageError(f"{option}: {model.name} has no feed-forward step", "--sweep stream")
    if part.startswith("cross") and "layers.0.cross_attention.query.weight" not in model.params:
        raise UsageError(f"{option}: {model.name} has no attention to a source", "--sweep head")
    return [Place(layer, HEADS.get(part, part)) for layer in layers]  # type: ignore[arg-type]


def swept_places(model: Model, sweep: SweepOptions, experiments: ExperimentOptions) -> list[Place]:
    """The places that `--ablate each` silences in turn; none without it."""
    return places_of(model, sweep.sweep or "head") if ablates_each(experiments) else []


@dataclass(frozen=True)
class Swept:
    """What is changed, and into what."""

    model: Model
    ids: Sequence[int]
    position: int
    """Where it is read what comes of it."""
    part: SweptPart
    put: Mapping[str, Array]
    """What stands in a place, by its name: of the shape of what the pass gives there."""
    taps: Sequence[Tap]
    seconds: float
    """Of a pass, for each token."""
    watcher: Watcher | None

    def maps(
        self, live: Sequence[int], together: Sequence[int], measure: Callable[[Array], Array], start: Array | float
    ) -> SweepMaps:
        """`measure` of the logits [B, V] with each place changed, at each of the positions `live`, or all of them; and
        at those of `together` at once. At other positions, and of no positions, it is what it is at the `start`."""
        sizes, tokens, heads = self.model.config.sizes, len(self.ids), self.part in HEADS
        changed = []
        if heads and live:
            changed += [Changed(layer, head, live) for layer in range(sizes.L) for head in range(sizes.H)]
        if not heads or self.part == "head-position":
            of = range(sizes.H) if heads else (None,)
            changed += [Changed(layer, head, [at]) for layer in range(sizes.L) for head in of for at in live]
        if together:
            changed += [Changed(layer, None, together) for layer in range(sizes.L)]
        found = iter(self._numbers(changed, measure))
        more = np.shape(start)
        each, at_each = np.full((sizes.L, sizes.H if heads else tokens, *more), start), None
        if heads and live:
            for layer, head in np.ndindex(sizes.L, sizes.H):
                each[layer, head] = next(found)
        if self.part == "head-position":
            at_each = np.full((sizes.L, sizes.H, tokens, *more), start)
            for layer, head in np.ndindex(sizes.L, sizes.H):
                for at in live:
                    at_each[layer, head, at] = next(found)
        elif not heads:
            for layer in range(sizes.L):
                for at in live:
                    each[layer, at] = next(found)
        return SweepMaps(each, at_each, np.array(list(found)) if together else None)

    def _numbers(self, changed: Sequence[Changed], measure: Callable[[Array], Array]) -> list[Array]:
        """`measure` with each place changed, in batches, which of an engine that compiles are of one size.

        What comes before the first position that is changed is the same in all passes of that position: where nothing
        but this acts on a causal model without a state its keys and values are kept, and only what follows is computed.
        """
        kept = self.model.config.causal and not self.taps and self.model.engine is None and self.model.source is None
        kept = kept and not self.model.config.state_layers and self.model.architecture.forward is forward
        groups: dict[int, list[int]] = {}
        for index, place in enumerate(changed):
            groups.setdefault(min(place.positions) if kept else 0, []).append(index)
        self._announce(changed, sum((len(self.ids) - begin) * len(some) for begin, some in groups.items()))
        found, done, began = dict[int, Array](), 0, time.perf_counter()
        for begin, some in groups.items():
            before = self.model.run(np.asarray(self.ids[:begin])[None]).cache if begin else None
            tokens = len(self.ids) - begin
            size = -(-len(some) // -(-len(some) // max(1, TOKENS_AT_ONCE // tokens)))
            for start in range(0, len(some), size):
                now = some[start : start + size]
                texts = now if self.model.engine is None else [*now, *[now[-1]] * (size - len(now))]
                cache = None if before is None else before.of_texts(np.zeros(len(texts), int))
                ids_BT = np.broadcast_to(np.asarray(self.ids[begin:]), (len(texts), tokens))
                tap = Chain([*self.taps, *self._edits([changed[index] for index in texts], begin)])
                last_BD = self.model.run(ids_BT, tap, cache).stream_TD[:, self.position - begin]
                numbers = measure(self.model.logits(last_BD).astype(np.float64))[: len(now)]
                found.update(zip(now, numbers, strict=True))
                done += len(now)
                if self.watcher and self.watcher.progress and time.perf_counter() - began >= WORTH_SAYING:
                    self.watcher.progress(f"sweeping {self.part}", done, len(changed))
        return [found[index] for index in range(len(changed))]

    def _announce(self, changed: Sequence[Changed], tokens: int) -> None:
        """Say what it costs."""
        seconds = tokens * self.seconds
        if self.watcher is None or not changed or seconds < WORTH_SAYING:
            return
        sizes, heads = self.model.config.sizes, self.part in HEADS
        places = several(sizes.L * sizes.H, "head") if heads else several(sizes.L, "layer")
        positions = {at for place in changed if len(place.positions) == 1 for at in place.positions}
        at = f"{len(positions)} of {several(len(self.ids), 'position')}"
        if any(len(place.positions) > 1 for place in changed):
            at = f"{at}, and at several together" if positions else "all positions together"
        self.watcher.announce(
            f"{count(len(changed))} cells ({places} at {at}), one pass each: at most about {duration(seconds)}"
        )

    def _edits(self, changed: Sequence[Changed], begin: int) -> list[Tap]:
        """Each text of a batch with its own place changed, in a pass that begins at `begin`. An `Edit` for every layer,
        so that all batches are one program for an engine that compiles."""
        taps: list[Tap] = []
        for layer, place in enumerate(places_of(self.model, self.part)):
            other = self.put[place.tap][..., begin:, :]  # [H, T, E] or [T, D]
            chosen = np.zeros((len(changed), *other.shape[:-1], 1), dtype=bool)
            for row, change in enumerate(changed):
                if change.layer == layer:
                    at = np.asarray(change.positions) - begin
                    if change.head is None:
                        chosen[row, at] = True
                    else:
                        chosen[row, change.head, at] = True
            taps.append(Edit(place.tap, _swapped, chosen, other))
        return taps


def _swapped(array: Array, chosen: Array, other: Array) -> Array:
    """`other` where `chosen`; for most layers of a batch that is nowhere."""
    if isinstance(array, np.ndarray) and not chosen.any():
        return array
    swapped: Array = namespace(array).where(chosen, other, array)
    return swapped


def agreement(part: SweptPart, exact: Array, gradient: Array) -> Agreement:
    """How far one map is from the other, cell by cell; cells without a number do not count."""
    there = np.isfinite(exact) & np.isfinite(gradient)
    with np.errstate(all="ignore"):
        several_cells = there.sum() > 1
        correlation = float(np.corrcoef(exact[there], gradient[there])[0, 1]) if several_cells else float("nan")
    distance = np.where(there, np.abs(exact - gradient), -1.0)
    layer, *at = (int(index) for index in np.unravel_index(distance.argmax(), exact.shape))
    head, position = (at[0] if part in HEADS else None), (None if part in HEADS and len(at) == 1 else at[-1])
    place = (layer, *at)
    cell = SweptCell(layer, head, position, float(exact[place]), float(gradient[place]))
    return Agreement(int(there.sum()), correlation, cell)
