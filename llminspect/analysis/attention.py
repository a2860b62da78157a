"""One pass through the model that keeps of its attention what is wanted, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, TypeAlias

import numpy as np

from llminspect.analysis.passes import PositionRows, run_until
from llminspect.analysis.result import Dims
from llminspect.arguments.attend import SCORE_PARTS, MeasureName
from llminspect.core.array import Array
from llminspect.core.attention import score_parts
from llminspect.core.attention_measures import MEASURES, excess, habit, measure_all, roll_out, usual
from llminspect.core.attribution import norm_of_added
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Visit
from llminspect.errors import UsageError
from llminspect.model.opened import Model

PairWeights: TypeAlias = list[list[tuple[float, float | None]]]
"""Over layers and heads: the weight of a query on its keys, and the mean of the others'."""
STEPS = ("scores", "scaled", "capped", "masked")
PARTS = {"queries": "query", "keys": "key", "values": "value"}
LINK_FROM = 0.3
"""A link is at least so much beyond what is usual."""
LINKED_TOKENS = 64
"""Of a longer text no links are looked for: they could not be drawn over one line."""
_SHARED = ("key", "value")
"""Of these there is one for each key/value head; of queries one for each head."""
_MEASURED_AT_ONCE = 1 << 20
"""Weights of so many numbers are measured for all heads of a layer together."""


@dataclass(frozen=True)
class Head:
    """One head's attention: a row for each query, a column for each key; what is not shown or not there is left out."""

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
    compressed: Annotated[Array, Dims("T S")] | None = None
    """The part of the scores that does not depend on positions, where keys are made of a shorter vector …"""
    rotary: Annotated[Array, Dims("T S")] | None = None
    """… and the part that is turned by it: both sum to the scores."""
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
class Link:
    """One token that looks at another, in the head that does so most beyond what is usual."""

    query: int
    key: int
    layer: int
    head: int
    weight: float
    usual: float
    """The part of the weight that was to be expected anyway."""


@dataclass(frozen=True)
class Overview:
    """Every head by what it does on this text."""

    measure: MeasureName
    measures: dict[MeasureName, Annotated[Array, Dims("L H")]]
    habits: list[list[str]]
    """[L][H]: sink, previous, next, self, same, induction, diffuse or mixed; none in a layer without attention."""
    definitions: dict[str, str]
    links: list[Link] | None = None
    """Of a short text: the pairs of tokens whose link is least usual, the least usual first."""


def overview_of(watched: WatchedAttention, measure: MeasureName) -> Overview | None:
    """All heads at a glance; `measure` colours them. None where no layer has attention.

    Of layers without attention the measures are no numbers and the habits "none".
    """
    measures, layers = watched.measures, watched.layers
    if not measures:
        return None
    stacked = {name: np.stack(list(found.values())) for name, found in measures.items()}
    rows, heads = stacked["entropy"].shape
    habits = [
        [habit({name: float(value_LH[row, head]) for name, value_LH in stacked.items()}) for head in range(heads)]
        for row in range(rows)
    ]
    if rows < layers:
        places, found_habits = list(measures["entropy"]), habits
        habits = [found_habits[places.index(at)] if at in places else ["none"] * heads for at in range(layers)]
        for name, value_LH in stacked.items():
            stacked[name] = np.full((layers, heads), np.nan, value_LH.dtype)
            stacked[name][places] = value_LH
    definitions = {name: entry.definition for name, entry in MEASURES.items()}
    return Overview(measure, stacked, habits, definitions, watched.strongest_links())  # type: ignore[arg-type]


@dataclass(frozen=True)
class WantedAttention:
    """What a pass is to keep."""

    heads: Collection[tuple[int, int]] = ()
    """The layers and heads whose weights are kept, and what else of them is `shown`."""
    shown: Collection[str] = ("weights",)
    measures: bool = False
    links: bool = False
    """The links between tokens that are least usual."""
    mean: Collection[tuple[int, int]] = ()
    """The layers and heads whose weights are added up."""
    rollout: bool = False
    row: int | None = None
    """A query whose weights are kept in every head …"""
    usual: bool = False
    """… and with them what of each would be there anyway."""
    pair: tuple[int, list[int]] | None = None
    """A query and its keys."""
    stream: int | None = None
    """A position at which everything that is added to the residual stream is kept."""


def watch_attention(model: Model, ids: Sequence[int], wanted: WantedAttention) -> WatchedAttention:
    """Run the model as far as needed and keep what is wanted of its attention. Raises UsageError for a step that no
    model of its kind has."""
    watched, sizes, shown = WatchedAttention(model, ids, wanted), model.config.sizes, wanted.shown
    if (parts := [name for name in shown if name in SCORE_PARTS]) and not sizes.Z:
        raise UsageError(
            f"--show {parts[0]}: the scores of {model.name} have no such part",
            "only those of models whose keys are made of a shorter vector have; --show scores",
        )
    layers = sorted({layer for layer, _ in (*wanted.heads, *wanted.mean)})
    every = wanted.measures or wanted.rollout or wanted.row is not None or wanted.pair is not None
    last = max(model.config.attending, default=-1) if every else max(layers, default=-1)
    steps = {PARTS.get(name, name) for name in shown if name in (*STEPS, *PARTS)}
    steps |= {"value", "gate"} if "added" in shown else set()
    steps |= {"query", "key"} if set(SCORE_PARTS) & set(shown) else set()
    names = ["*.attention.weights"] if every else [f"{layer}.attention.weights" for layer in layers]
    names += [f"{layer}.attention.{step}" for layer in layers for step in sorted(steps)]
    visit = Visit(watched.look, *(f"layers.{name}" for name in names), optional=True)
    if wanted.stream is not None:
        rows = PositionRows(sizes.L, wanted.stream, heads=True)
        model.run(ids, Chain([visit, rows]))
        watched.stream = rows.rows
    elif last >= 0:
        run_until(model, ids, visit, [f"layers.{last}.attention.weights"])
    return watched


class WatchedAttention:
    """What a pass left: only what was wanted is filled, from each layer's arrays as they go by."""

    def __init__(self, model: Model, ids: Sequence[int], wanted: WantedAttention) -> None:
        self._model, self._wanted, self._ids_T = model, wanted, np.asarray(ids)
        self._held: dict[str, Array] = {}
        """The steps of the wanted heads of one layer, until its weights come."""
        self.layers = model.config.sizes.L
        self.heads: list[Head] = []
        self.measures: dict[str, dict[int, Array]] = {}
        """[H] of each layer that has attention."""
        self.links: dict[tuple[int, int], Link] = {}
        """By query and key, of those that stand out of each layer the one that does most."""
        self.mean: Array | None = None
        """The sum [T, S] over the heads that it is to be the mean of."""
        self.rollout: Array | None = None
        self.rows: list[Array] = []
        """A list over layers of the rows [H, S] of one query …"""
        self.usual: list[Array] = []
        """… and what of each weight would be there anyway."""
        self.pairs: PairWeights = []
        self.stream: Mapping[str, Array] = {}
        """What `PositionRows` kept."""

    def look(self, name: str, array: Array) -> None:
        """Take copies of the heads that are wanted."""
        _, layer, _, step = name.split(".")
        heads = [head for at, head in sorted(self._wanted.heads) if at == int(layer)]
        if step == "weights":
            self._weights(int(layer), heads, array)
            self._held.clear()
            return
        config = self._model.config
        shared = config.sizes.H // config.heads_of(int(layer))[0] if step in _SHARED else 1
        for head in heads:
            self._held[f"{step}.{head}"] = array[head // shared].copy()

    def _weights(self, layer: int, heads: Sequence[int], weights_HTS: Array) -> None:
        wanted, config = self._wanted, self._model.config
        causal, window_of = config.causal, getattr(config, "window_of", None)
        window: int | None = None if window_of is None else window_of(layer)
        if window is not None and window >= len(self._ids_T):
            window = None  # It sees the whole text.
        measured = range(len(weights_HTS)) if wanted.measures else heads
        if len(measured) < len(weights_HTS) or weights_HTS.size > _MEASURED_AT_ONCE:
            by_head = {head: measure_all(weights_HTS[head], self._ids_T, causal, window) for head in measured}
        else:  # Of all at once, where that costs little memory.
            together = measure_all(weights_HTS, self._ids_T, causal, window)
            by_head = {head: {name: value_H[head] for name, value_H in together.items()} for head in measured}
        self.heads += [self._head(layer, head, weights_HTS[head], by_head[head], window) for head in heads]
        if wanted.measures:
            for name in MEASURES:
                self.measures.setdefault(name, {})[layer] = np.stack([by_head[head][name] for head in measured])
        if wanted.links:
            self._link(layer, weights_HTS, window)
        for at, head in wanted.mean:
            if at == layer:
                self.mean = weights_HTS[head].copy() if self.mean is None else self.mean + weights_HTS[head]
        if wanted.rollout:
            self.rollout = roll_out(self.rollout, weights_HTS)
        if wanted.row is not None:
            nothing_HS = np.zeros_like(weights_HTS[:, 0])  # Of each layer without attention before this one.
            self.rows += [nothing_HS] * (layer - len(self.rows)) + [weights_HTS[:, wanted.row].copy()]
            if wanted.usual:
                self.usual += [nothing_HS] * (layer - len(self.usual))
                self.usual.append(usual(weights_HTS, [wanted.row], causal, window)[:, 0])
        if wanted.pair is not None:
            self.pairs += [[]] * (layer - len(self.pairs))
            self.pairs.append([excess(head_TS, *wanted.pair, causal, window) for head_TS in weights_HTS])

    def strongest_links(self) -> list[Link] | None:
        """The least usual first; None where none were looked for."""
        found = sorted(self.links.values(), key=lambda link: (link.usual - link.weight, link.query, link.key))
        return found if self._wanted.links else None

    def _link(self, layer: int, weights_HTS: Array, window: int | None) -> None:
        """The links of this layer that are less usual than all found so far between the same tokens."""
        usual_HTS = usual(weights_HTS, range(weights_HTS.shape[1]), self._model.config.causal, window)
        excess_HTS = weights_HTS - usual_HTS
        excess_HTS[np.isnan(excess_HTS)] = -1
        head_TS = excess_HTS.argmax(axis=0)
        for query, key in np.argwhere(excess_HTS.max(axis=0) >= LINK_FROM).tolist():
            # Token 0 is where heads rest, and every token looks at itself: neither is a link.
            if key in (0, query):
                continue
            head = int(head_TS[query, key])
            weight, known = float(weights_HTS[head, query, key]), self.links.get((query, key))
            found = Link(query, key, layer, head, weight, float(usual_HTS[head, query, key]))
            if known is None or found.weight - found.usual > known.weight - known.usual:
                self.links[query, key] = found

    def _head(
        self, layer: int, head: int, weights_TS: Array, measures: Mapping[str, Array], window: int | None
    ) -> Head:
        (keys, width), shown = self._model.config.heads_of(layer), self._wanted.shown
        kept = {name: self._held.get(f"{PARTS.get(name, name)}.{head}") for name in (*STEPS, *PARTS) if name in shown}
        if set(SCORE_PARTS) & set(shown):
            both = score_parts(self._held[f"query.{head}"], self._held[f"key.{head}"], self._model.config.sizes.M)
            kept |= {name: part_TS for name, part_TS in zip(SCORE_PARTS, both, strict=True) if name in shown}
        if "added" in shown:
            output_DHE = self._model.params.layer(layer).get("attention.output.weight")
            columns = slice(head * width, (head + 1) * width)
            output_DE = None if output_DHE is None else output_DHE[:, columns]
            added_TS = norm_of_added(weights_TS, self._held[f"value.{head}"], output_DE, self._held.get(f"gate.{head}"))
            kept["added"] = added_TS * self._model.config.residual_scale
        measured = {name: float(value) for name, value in measures.items()}
        kv_head = head * keys // self._model.config.sizes.H
        return Head(layer, head, kv_head, habit(measured), measured, weights_TS.copy(), window, **kept)
