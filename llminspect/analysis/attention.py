"""One pass through the model that keeps of its attention what is wanted, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from llminspect.analysis.passes import PositionRows, run_until
from llminspect.analysis.result import Dims
from llminspect.core.attention_measures import MEASURES, excess, habit, measure_all, roll_out
from llminspect.core.attribution import norm_of_added
from llminspect.core.tap import Chain, Visit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from llminspect.arguments.attend import MeasureName
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
    """As they meet the keys: after the rotation, where there is one."""
    keys: Annotated[Array, Dims("S E")] | None = None
    values: Annotated[Array, Dims("S E")] | None = None
    added: Annotated[Array, Dims("T S")] | None = None
    """The length of what each key adds to the stream: ‖weight · value · W‖."""


@dataclass(frozen=True)
class Overview:
    """Every head by what it does on this text."""

    measure: MeasureName
    measures: dict[MeasureName, Annotated[Array, Dims("L H")]]
    habits: list[list[str]]
    """[L][H]: sink, previous, next, self, same, induction, diffuse or mixed."""
    definitions: dict[str, str]


def overview_of(measures: Mapping[str, Sequence[Array]], measure: MeasureName) -> Overview:
    """All heads at a glance, from the measures [H] of each layer; `measure` colours them."""
    stacked = {name: np.stack(layers) for name, layers in measures.items()}
    layers, heads = stacked["entropy"].shape
    habits = [
        [habit({name: float(value_LH[layer, head]) for name, value_LH in stacked.items()}) for head in range(heads)]
        for layer in range(layers)
    ]
    definitions = {name: entry.definition for name, entry in MEASURES.items()}
    return Overview(measure, stacked, habits, definitions)  # type: ignore[arg-type]


@dataclass(frozen=True)
class WantedAttention:
    """What a pass is to keep."""

    heads: Collection[tuple[int, int]] = ()
    """The layers and heads whose weights are kept, and what else of them is `shown`."""
    shown: Collection[str] = ("weights",)
    measures: bool = False
    mean: Collection[tuple[int, int]] = ()
    """The layers and heads whose weights are added up."""
    rollout: bool = False
    row: int | None = None
    """A query whose weights are kept in every head."""
    pair: tuple[int, list[int]] | None = None
    """A query and its keys."""
    stream: int | None = None
    """A position at which everything that is added to the residual stream is kept."""

    @property
    def every_layer(self) -> bool:
        return self.measures or self.rollout or self.row is not None or self.pair is not None


@dataclass
class WatchedAttention:
    """What a pass left: only what was wanted is filled."""

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
    stream: Mapping[str, Array] = field(default_factory=dict)
    """What `PositionRows` kept."""


def watch_attention(model: Model, ids: Sequence[int], wanted: WantedAttention) -> WatchedAttention:
    """Run the model as far as needed and keep what is wanted of its attention."""
    watcher, sizes = _Watcher(model, ids, wanted), model.config.sizes
    last = sizes.L - 1 if wanted.every_layer else max(watcher.layers, default=-1)
    visit = Visit(watcher.look, *watcher.patterns(), optional=True)
    if wanted.stream is not None:
        rows = PositionRows(sizes.L, wanted.stream, heads=True)
        model.run(ids, Chain([visit, rows]))
        watcher.result.stream = rows.rows
    elif last >= 0:
        run_until(model, ids, visit, [f"layers.{last}.attention.weights"])
    return watcher.result


class _Watcher:
    """Sees each layer's arrays as they go by and takes copies of the heads that are wanted."""

    def __init__(self, model: Model, ids: Sequence[int], wanted: WantedAttention) -> None:
        self.model, self.wanted, self.result = model, wanted, WatchedAttention()
        self.ids_T, self.causal = np.asarray(ids), model.config.causal
        self.layers = {layer for layer, _ in (*wanted.heads, *wanted.mean)}
        self.held: dict[str, Array] = {}
        """The steps of the wanted heads of one layer, until its weights come."""

    def patterns(self) -> list[str]:
        layers: list[Any] = ["*"] if self.wanted.every_layer else sorted(self.layers)
        steps = {PARTS.get(name, name) for name in self.wanted.shown if name in (*STEPS, *PARTS)}
        steps |= {"value"} if "added" in self.wanted.shown else set()
        names = [f"{layer}.attention.weights" for layer in layers]
        names += [f"{layer}.attention.{step}" for layer in sorted(self.layers) for step in sorted(steps)]
        return [f"layers.{name}" for name in names]

    def look(self, name: str, array: Array) -> None:
        _, layer, _, step = name.split(".")
        if step == "weights":
            self._weights(int(layer), array)
            self.held.clear()
            return
        sizes = self.model.config.sizes
        shared = sizes.H // sizes.K if step in _SHARED else 1
        for head in self._heads(int(layer)):
            self.held[f"{step}.{head}"] = array[head // shared].copy()

    def _heads(self, layer: int) -> list[int]:
        """The wanted heads of a layer."""
        return [head for at, head in sorted(self.wanted.heads) if at == layer]

    def _weights(self, layer: int, weights_HTS: Array) -> None:
        result, wanted, window = self.result, self.wanted, self._window(layer)
        heads = self._heads(layer)
        measured = range(len(weights_HTS)) if wanted.measures else heads
        by_head = self._measured(weights_HTS, measured, window)
        result.heads += [self._head(layer, head, weights_HTS[head], by_head[head], window) for head in heads]
        if wanted.measures:
            for name in MEASURES:
                result.measures.setdefault(name, []).append(np.stack([by_head[head][name] for head in measured]))
        for at, head in wanted.mean:
            if at == layer:
                result.mean = weights_HTS[head].copy() if result.mean is None else result.mean + weights_HTS[head]
        if wanted.rollout:
            result.rollout = roll_out(result.rollout, weights_HTS)
        if wanted.row is not None:
            result.rows.append(weights_HTS[:, wanted.row].copy())
        if wanted.pair is not None:
            query, keys = wanted.pair
            result.pairs.append([excess(head_TS, query, keys, self.causal, window) for head_TS in weights_HTS])

    def _window(self, layer: int) -> int | None:
        """How far back the layer sees, where that is less than the whole text."""
        window_of = getattr(self.model.config, "window_of", None)
        window: int | None = window_of(layer) if window_of is not None else None
        return window if window is not None and window < len(self.ids_T) else None

    def _measured(self, weights_HTS: Array, heads: Sequence[int], window: int | None) -> dict[int, dict[str, Array]]:
        """The measures of each head: of all at once where that costs little memory, else one after another."""
        if len(heads) < len(weights_HTS) or weights_HTS.size > _MEASURED_AT_ONCE:
            return {head: measure_all(weights_HTS[head], self.ids_T, self.causal, window) for head in heads}
        together = measure_all(weights_HTS, self.ids_T, self.causal, window)
        return {head: {name: value_H[head] for name, value_H in together.items()} for head in heads}

    def _head(
        self, layer: int, head: int, weights_TS: Array, measures: Mapping[str, Array], window: int | None
    ) -> Head:
        sizes, shown = self.model.config.sizes, self.wanted.shown
        kept = {name: self.held.get(f"{PARTS.get(name, name)}.{head}") for name in (*STEPS, *PARTS) if name in shown}
        if "added" in shown:
            output_DHE = self.model.params.layer(layer).get("attention.output.weight")
            columns = slice(head * sizes.E, (head + 1) * sizes.E)
            output_DE = None if output_DHE is None else output_DHE[:, columns]
            kept["added"] = norm_of_added(weights_TS, self.held[f"value.{head}"], output_DE)
        measured = {name: float(value) for name, value in measures.items()}
        kv_head = head * sizes.K // sizes.H
        return Head(layer, head, kv_head, habit(measured), measured, weights_TS.copy(), window, **kept)
