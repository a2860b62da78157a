"""One pass through the model that keeps of its attention what was asked for, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from llminspect.analysis.documents import Dims
from llminspect.core import attention_measures as measures
from llminspect.core.attention_measures import habit, measure_all
from llminspect.core.head_output import norm_of_added
from llminspect.core.tap import Enough, Until, Visit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from llminspect.core.array import Array
    from llminspect.model.opened import Model

STEPS = ("scores", "scaled", "capped", "masked")
PARTS = {"queries": "query", "keys": "key", "values": "value"}
_SHARED = ("key", "value")
"""Of these there is one for each key/value head; of queries one for each head."""
_MEASURED_AT_ONCE = 1 << 20
"""Weights of so many numbers are measured for all heads of a layer together."""


@dataclass(frozen=True)
class Head:
    """One head's attention: a row a query, a column a key; what is not shown or not there is left out."""

    layer: int
    head: int
    kv_head: int
    """The key/value head that it reads; several query heads may share one."""
    habit: str
    """What it does on this text: sink, previous, next, self, same, induction, diffuse or mixed."""
    measures: dict[str, float]
    weights: Annotated[Array, Dims("T S")]
    window: int | None = None
    """A token sees itself and the window − 1 before it; left out where it sees all before it."""
    scores: Annotated[Array, Dims("T S")] | None = None
    """query · key"""
    scaled: Annotated[Array, Dims("T S")] | None = None
    """Scores times the scale, and with what the model adds for the distance."""
    capped: Annotated[Array, Dims("T S")] | None = None
    masked: Annotated[Array, Dims("T S")] | None = None
    """What goes into the softmax; null where the mask hides."""
    queries: Annotated[Array, Dims("T E")] | None = None
    """As they meet the keys: behind the rotation, where there is one."""
    keys: Annotated[Array, Dims("S E")] | None = None
    values: Annotated[Array, Dims("S E")] | None = None
    added: Annotated[Array, Dims("T S")] | None = None
    """The length of what each key adds to the stream: ‖weight · value · W‖."""


@dataclass
class WatchedAttention:
    """What a pass left: only what was asked for is filled."""

    heads: list[Head] = field(default_factory=list)
    measures: dict[str, list[Array]] = field(default_factory=dict)
    """A list over layers of [H]."""
    mean: Array | None = None
    """The sum [T, S] over the heads that it is to be the mean of."""
    rollout: Array | None = None
    rows: list[Array] = field(default_factory=list)
    """A list over layers of the rows [H, S] of one query."""
    pairs: list[list[tuple[float, float | None]]] = field(default_factory=list)
    """Over layers and heads: the weight of a query on its keys, and the others' mean."""


@dataclass(frozen=True)
class WantedAttention:
    """What a pass is to keep."""

    heads: Collection[tuple[int, int]] = ()
    shown: Collection[str] = ("weights",)
    measures: bool = False
    mean: Collection[tuple[int, int]] = ()
    rollout: bool = False
    row: int | None = None
    pair: tuple[int, list[int]] | None = None

    @property
    def every_layer(self) -> bool:
        return self.measures or self.rollout or self.row is not None or self.pair is not None


class AttentionWatcher:
    """The tap's eye: sees each layer's arrays as they go by and takes copies of the heads that are wanted."""

    def __init__(self, model: Model, ids: Sequence[int], wanted: WantedAttention) -> None:

        self.model, self.wanted, self.seen = model, wanted, WatchedAttention()
        self.ids_T, self.causal = np.asarray(ids), model.config.causal
        self.layers = {layer for layer, _ in (*wanted.heads, *wanted.mean)}
        self.held: dict[str, Array] = {}

    def patterns(self) -> list[str]:
        if self.wanted.every_layer:
            weights = ["layers.*.attention.weights"]
        else:
            weights = [f"layers.{layer}.attention.weights" for layer in self.layers]
        steps = [name for name in (*STEPS, *PARTS) if name in self.wanted.shown]
        needed = {PARTS.get(name, name) for name in steps} | ({"value"} if "added" in self.wanted.shown else set())
        return weights + [f"layers.{layer}.attention.{name}" for layer in self.layers for name in sorted(needed)]

    def look(self, name: str, array: Array) -> None:
        _, layer, _, step = name.split(".")
        if step == "weights":
            self._weights(int(layer), array)
            self.held.clear()
        else:
            own = {head for at, head in self.wanted.heads if at == int(layer)}
            sizes = self.model.config.sizes
            shared = sizes.H // sizes.K if step in _SHARED else 1
            for head in own:
                self.held[f"{step}.{head}"] = array[head // shared].copy()

    def _weights(self, layer: int, weights_HTS: Array) -> None:

        seen, wanted = self.seen, self.wanted
        own = [head for at, head in sorted(wanted.heads) if at == layer]
        measured = range(len(weights_HTS)) if wanted.measures else own
        by_head = self._measured(layer, weights_HTS, measured)
        seen.heads += [self._head(layer, head, weights_HTS[head], by_head[head]) for head in own]
        if wanted.measures:
            for name in measures.MEASURES:
                seen.measures.setdefault(name, []).append(np.stack([by_head[head][name] for head in measured]))
        for at, head in wanted.mean:
            if at == layer:
                seen.mean = weights_HTS[head].copy() if seen.mean is None else seen.mean + weights_HTS[head]
        if wanted.rollout:
            seen.rollout = measures.roll_out(seen.rollout, weights_HTS)
        if wanted.row is not None:
            seen.rows.append(weights_HTS[:, wanted.row].copy())
        if wanted.pair is not None:
            query, keys = wanted.pair
            window = self._window(layer)
            seen.pairs.append([measures.excess(head_TS, query, keys, self.causal, window) for head_TS in weights_HTS])

    def _window(self, layer: int) -> int | None:
        """How far back the layer sees, where that is less than the whole text."""
        window_of = getattr(self.model.config, "window_of", None)
        window: int | None = window_of(layer) if window_of is not None else None
        return window if window is not None and window < len(self.ids_T) else None

    def _measured(self, layer: int, weights_HTS: Array, heads: Sequence[int]) -> dict[int, dict[str, Array]]:
        """The measures of each head: of all at once where that costs little memory, else one after another."""

        sight = (self.ids_T, self.causal, self._window(layer))
        if len(heads) < len(weights_HTS) or weights_HTS.size > _MEASURED_AT_ONCE:
            return {head: measure_all(weights_HTS[head], *sight) for head in heads}
        together = measure_all(weights_HTS, *sight)
        return {head: {name: value_H[head] for name, value_H in together.items()} for head in heads}

    def _head(self, layer: int, head: int, weights_TS: Array, measures: dict[str, Array]) -> Head:

        sizes, shown = self.model.config.sizes, self.wanted.shown
        kept: dict[str, Any] = {
            name: self.held.get(f"{PARTS.get(name, name)}.{head}") for name in (*STEPS, *PARTS) if name in shown
        }
        if "added" in shown:
            output_DHE = self.model.params.layer(layer).get("attention.output.weight")
            own = slice(head * sizes.E, (head + 1) * sizes.E)
            output_DE = None if output_DHE is None else output_DHE[:, own]
            kept["added"] = norm_of_added(weights_TS, self.held[f"value.{head}"], output_DE)
        measured = {name: float(value) for name, value in measures.items()}
        kept["window"] = self._window(layer)
        return Head(layer, head, head * sizes.K // sizes.H, habit(measured), measured, weights_TS.copy(), **kept)


def watch_attention(model: Model, ids: Sequence[int], wanted: WantedAttention) -> WatchedAttention:
    """Run the model as far as needed and keep what is wanted of its attention."""

    watcher = AttentionWatcher(model, ids, wanted)
    last = model.config.sizes.L - 1 if wanted.every_layer else max(watcher.layers, default=-1)
    if last < 0:
        return watcher.seen
    with suppress(Enough):
        model.run(ids, Until(Visit(watcher.look, *watcher.patterns()), f"layers.{last}.attention.weights"))
    return watcher.seen
