"""The pass of a model as a graph: each head and each feed-forward step reads a stream of its own.

In a plain pass all parts of a layer read one stream, the sum of all that was written before. Here the queries, the keys
and the values of each head are made of streams that may differ, as where only some edges of the graph carry what this
text gives and the others what another text gives (path patching: Wang et al. 2022, "Interpretability in the Wild",
section 3; Goldowsky-Dill et al. 2023). Heads that share keys and values have their own here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from llminspect.core import attention
from llminspect.core.array import Array, namespace
from llminspect.core.cache import span
from llminspect.core.dataclass import dataclass
from llminspect.core.edges import Node, Wiring, wired
from llminspect.core.tap import NO_TAP
from llminspect.core.tape import Tape
from llminspect.errors import UsageError
from llminspect.model.embedding import embed
from llminspect.model.layer import Layer, norm
from llminspect.model.opened import Model
from llminspect.model.transformer import distance_bias, forward, masks_of, rotations_of

UNDERSTOOD = re.compile(
    r"attention\.(norm|query|key|value|output|(query|key)\.norm(_after)?)\.(weight|bias)"
    r"|attention\.(sink|relative\.weight)"
    r"|feedforward\.(?!norm_after|shift|routed\.norm_after|shared\.norm_after).*"
)
"""The arrays of a layer whose steps are the sum of their parts."""
ROUNDING = 1e-3
"""How far the sum of all parts may be from the stream, relative to it."""


class SplitLayer(Layer):
    """A layer whose heads each read a stream of their own, [..., H, T, D]."""

    def _projected(self, part: str, x_TD: Array, heads: int) -> Array:
        *front, copies, tokens, width = x_TD.shape
        weight_KED = np.asarray(self.arrays[f"{part}.weight"]).reshape(heads, -1, width)
        rows = x_TD.reshape(*front, heads, copies // heads * tokens, width)
        if front:  # The rows of all graphs together: one product a head.
            rows = rows.swapaxes(0, 1).reshape(heads, -1, width)
        made = rows @ weight_KED.swapaxes(-1, -2)
        bias = self.arrays.get(f"{part}.bias")
        if bias is not None:
            made = made + bias.reshape(heads, 1, -1)
        if self.config.clip is not None:
            made = namespace(made).clip(made, -self.config.clip, self.config.clip)
        if front:
            made = made.reshape(heads, *front, -1, made.shape[-1]).swapaxes(0, 1)
        made_HTE: Array = made.reshape(*front, copies, tokens, made.shape[-1])
        return made_HTE

    def _norm_heads(self, name: str, x_HTE: Array) -> Array:
        weight = self.arrays[f"{name}.weight"]
        if weight.ndim == 1:
            return super()._norm_heads(name, x_HTE)
        weight_H1E = np.repeat(weight, x_HTE.shape[-3] // len(weight), axis=0)[:, None]
        return norm({f"{name}.weight": weight_H1E}, name, x_HTE, self.config)

    def mixed(self, inputs: Sequence[Array], rotation_TP: tuple[Array, ...], mask_TS: Any, bias_HTS: Any) -> Array:
        """What each head mixes, [..., H, T, E], of the streams [..., H, T, D] of its query, key and value."""
        keys, _ = self.config.heads_of(self.index)
        wanted = ("query", self.config.sizes.H), ("key", keys), (self._value_from, keys)
        made = [
            self._projected(f"attention.{part}", self._read("attention", stream_HTD), heads)
            for (part, heads), stream_HTD in zip(wanted, inputs, strict=True)
        ]
        query_HTE, key_HTE = (self._positioned(part, made[i], rotation_TP) for i, part in enumerate(("query", "key")))
        value_HTE = self._values(made[2])
        return attention.attend(
            query_HTE, key_HTE, value_HTE, scale=self.config.scale_of(self.index), mask_TS=mask_TS, bias_HTS=bias_HTS,
            cap=self.config.score_cap, sink_H=self.arrays.get("attention.sink"), tap=NO_TAP, name="",
        )  # fmt: skip

    def written(self, mixed_HTE: Array) -> Array:
        """What each head adds to the stream, [..., H, T, D]."""
        heads = self.config.sizes.H
        weight = self.arrays.get("attention.output.weight")
        weight_DI = np.eye(heads * mixed_HTE.shape[-1], dtype=mixed_HTE.dtype) if weight is None else np.asarray(weight)
        weight_HED = weight_DI.reshape(len(weight_DI), heads, -1).transpose(1, 2, 0)
        added_HTD: Array = mixed_HTE @ weight_HED
        return added_HTD if self.config.residual_scale == 1 else added_HTD * self.config.residual_scale

    def constant(self) -> Array | float:
        """What the attention adds whatever its heads read, [D]."""
        bias_D = self.arrays.get("attention.output.bias")
        return 0.0 if bias_D is None else bias_D * self.config.residual_scale

    def fed_forward(self, stream_TD: Array) -> Array:
        """What the feed-forward step adds to the stream, [..., T, D]."""
        added_TD = self._fed_forward(self._read("feedforward", stream_TD))
        return added_TD if self.config.residual_scale == 1 else added_TD * self.config.residual_scale


def copied(stream_TD: Array, heads: int) -> Array:
    """The same stream for each head, [..., H, T, D]."""
    *front, tokens, width = stream_TD.shape
    return np.broadcast_to(stream_TD[..., None, :, :], (*front, heads, tokens, width))


@dataclass(frozen=True)
class Streams:
    """What a pass left."""

    written_UTD: Array
    """What each part wrote into the stream."""
    before_LTD: Array
    """The stream before each layer's attention …"""
    middle_LTD: Array
    """… and before its feed-forward step …"""
    last_TD: Array
    """… and after all layers."""


@dataclass(frozen=True)
class GraphPass:
    """Passes over texts of one length. `graph_pass` makes it."""

    model: Model
    tokens: int
    wiring: Wiring

    @cached_property
    def _around(self) -> tuple[Any, Any, Any]:
        """Rotations, masks, and what the distance of tokens adds to scores."""
        config, params = self.model.config, self.model.params
        ids_T, like_TD = np.zeros(self.tokens, int), self.embedded(np.zeros(self.tokens, int))
        now = span(None, self.tokens)
        bias = distance_bias(params.get("relative.weight"), config, like_TD, now, NO_TAP, "")
        return rotations_of(params, config, like_TD, 0), masks_of(ids_T, config, now, None), bias

    def embedded(self, ids: Sequence[int] | Array) -> Array:
        """What the embedding writes, [T, D]."""
        return embed(self.model.params, self.model.config, np.asarray(ids), 0, NO_TAP)

    def layer(self, index: int) -> SplitLayer:
        """A layer with its arrays, which some models read each time."""
        return SplitLayer(self.model.params.layer(index), self.model.config, index, "", NO_TAP)

    def heads(self, layer: SplitLayer, inputs: Sequence[Array]) -> Array:
        """What the heads of a layer write, [..., H, T, D], of the streams that queries, keys and values are made of."""
        rotations, masks, bias_HTS = self._around
        config, table_BH = self.model.config, layer.arrays.get("attention.relative.weight")
        if table_BH is not None:
            bias_HTS = distance_bias(table_BH, config, inputs[0], span(None, self.tokens), NO_TAP, "")
        rotary = config.rotary_of(layer.index)
        rotation_TP = () if rotary is None else rotations[id(rotary)]
        return layer.written(layer.mixed(inputs, rotation_TP, masks[config.window_of(layer.index)], bias_HTS))

    def plain(self, embedding_TD: Array) -> Streams:
        """The pass in which every part reads all that was written before it; of several embeddings [G, T, D] at once
        each array has their axis before T."""
        config, wiring = self.model.config, self.wiring
        written_UTD = np.empty((len(wiring.writers), *embedding_TD.shape), embedding_TD.dtype)
        before_LTD, middle_LTD = np.empty((2, config.sizes.L, *embedding_TD.shape), embedding_TD.dtype)
        written_UTD[0] = stream_TD = embedding_TD
        for index, part in enumerate(self.parts):
            layer = self.layer(index)
            before_LTD[index] = stream_TD
            if part.heads:
                added_HTD = self.heads(layer, [copied(stream_TD, len(part.heads))] * 3)
                written_UTD[part.written] = np.moveaxis(added_HTD, -3, 0)
                stream_TD = stream_TD + added_HTD.sum(axis=-3) + layer.constant()
            middle_LTD[index] = before_LTD[index] if config.parallel else stream_TD
            if part.step is not None:
                added_TD = written_UTD[part.step.writes] = layer.fed_forward(middle_LTD[index])
                stream_TD = stream_TD + added_TD
        return Streams(written_UTD, before_LTD, middle_LTD, stream_TD)

    def patched(self, kept_GRU: Array, embedding_TD: Array, corrupt: Streams) -> Array:
        """The last stream [G, T, D] where the edges of each graph carry what this pass gives, and all others what
        `corrupt` gave: exact, each part is computed anew from what it then reads. Weights are read once for all."""
        graphs = len(kept_GRU)
        change_GUTD = np.zeros((graphs, *corrupt.written_UTD.shape), embedding_TD.dtype)
        change_GUTD[:, 0] = embedding_TD - corrupt.written_UTD[0]
        flat_GUN = change_GUTD.reshape(graphs, len(corrupt.written_UTD), -1)

        def read(live: Array, rows: Array, before: int, base_TD: Array) -> Array:
            inputs_GNTD = np.empty((len(live), len(rows), *base_TD.shape), base_TD.dtype)
            for graph, inputs_NTD in zip(live, inputs_GNTD, strict=True):
                kept_NU = kept_GRU[graph, rows, :before]
                writers = np.flatnonzero(kept_NU.any(axis=0))
                moved_NN = kept_NU[:, writers].astype(base_TD.dtype) @ flat_GUN[graph, writers]
                np.add(moved_NN.reshape(inputs_NTD.shape), base_TD, out=inputs_NTD)
            return inputs_GNTD

        for index, part in enumerate(self.parts):
            layer, rows = None, part.rows
            live = np.flatnonzero(kept_GRU[:, rows].any(axis=(1, 2)))
            if len(live):
                layer = self.layer(index)
                inputs_GNTD = read(live, rows, part.heads[0].before, corrupt.before_LTD[index])
                now_GHTD = self.heads(layer, np.split(inputs_GNTD, 3, axis=1))
                change_GUTD[live, part.written] = now_GHTD - corrupt.written_UTD[part.written]
            step = part.step
            live = np.flatnonzero(kept_GRU[:, [] if step is None else step.reads].any(axis=(1, 2)))
            if step is not None and len(live):
                layer = layer or self.layer(index)
                input_GTD = read(live, np.array(step.reads), step.before, corrupt.middle_LTD[index])[:, 0]
                change_GUTD[live, step.writes] = layer.fed_forward(input_GTD) - corrupt.written_UTD[step.writes]
        last = self.wiring.nodes[-1]
        final_GTD: Array = read(np.arange(graphs), np.array(last.reads), last.before, corrupt.last_TD)[:, 0]
        return final_GTD

    def slopes(self, streams: Streams, slope_TD: Array) -> Iterator[tuple[Array, int, Array]]:
        """How a number changes with what each reader reads, from the last to the first: rows, how many writers come
        before them, and the gradients [..., rows, T, D]; `slope_TD` is that by the last stream."""
        last = self.wiring.nodes[-1]
        yield np.array(last.reads), last.before, slope_TD[..., None, :, :]
        for index, part in reversed(list(enumerate(self.parts))):
            layer, step_slope_TD = self.layer(index), np.zeros_like(slope_TD)
            if part.step is not None:
                tape = Tape()
                read_TD = tape.watch(streams.middle_LTD[index])
                (step_slope_TD,) = tape.gradients((layer.fed_forward(read_TD) * slope_TD).sum(), [read_TD])  # type: ignore[arg-type]
                yield np.array(part.step.reads), part.step.before, step_slope_TD[..., None, :, :]
            to_heads_TD = slope_TD if self.model.config.parallel else slope_TD + step_slope_TD
            slope_TD = slope_TD + step_slope_TD
            if part.heads:
                tape = Tape()
                copies_HTD = copied(streams.before_LTD[index], len(part.heads))
                read = [tape.watch(copies_HTD) for _ in range(3)]
                along = (self.heads(layer, read) * to_heads_TD[..., None, :, :]).sum()  # type: ignore[arg-type]
                slope_NTD = np.concatenate(tape.gradients(along, read), axis=-3)
                yield part.rows, part.heads[0].before, slope_NTD
                slope_TD = slope_TD + slope_NTD.sum(axis=-3)

    @cached_property
    def parts(self) -> tuple[LayerNodes, ...]:
        """The nodes of each layer."""
        found = []
        for index in range(self.model.config.sizes.L):
            nodes = [node for node in self.wiring.nodes if node.layer == index]
            heads = tuple(node for node in nodes if node.kind == "head")
            found.append(LayerNodes(heads, next((node for node in nodes if node.kind == "feedforward"), None)))
        return tuple(found)


@dataclass(frozen=True)
class LayerNodes:
    """The nodes of one layer: its heads, and its feed-forward step."""

    heads: tuple[Node, ...]
    step: Node | None

    @cached_property
    def rows(self) -> Array:
        """Of all queries, then of all keys, then of all values."""
        return np.array([node.reads[part] for part in range(3) for node in self.heads], int)

    @property
    def written(self) -> slice:
        first = self.heads[0].writes
        assert first is not None
        return slice(first, first + len(self.heads))


def graph_pass(model: Model, tokens: int) -> GraphPass:
    """Raises UsageError where what a model computes is not the sum of parts that each read the stream."""
    config, why = model.config, not_a_graph(model)
    if why is not None:
        raise UsageError(f"circuit: {why}", "its parts are no nodes of a graph whose edges add up in the stream")
    layers = []
    for index in range(config.sizes.L):
        feeds = any(name.startswith("feedforward.") for name in model.params.layer(index))
        layers.append((config.sizes.H if config.attends(index) else 0, feeds))
    return GraphPass(model, tokens, wired(layers, config.parallel))


def not_a_graph(model: Model) -> str | None:
    """Why a model is none, in words; None where it is one."""
    config, name = model.config, model.name
    if model.architecture.forward is not forward:
        return f"{name} is a toy with steps of its own"
    if model.can("source"):
        return f"{name} reads a source text beside this one"
    if config.state_layers:
        return f"{name} carries a state from token to token"
    if config.sizes.Z:
        return f"{name} makes the keys of all heads of one shorter vector"
    if config.streams > 1 or config.per_layer:
        return f"{name} has more than one stream"
    for index in range(config.sizes.L):
        arrays = model.params.layer(index)
        strange = next((array for array in arrays if not UNDERSTOOD.fullmatch(array)), None)
        if strange is not None:
            return f"layer {index} of {name} has a step {strange.rpartition('.')[0]!r} that mixes what its parts add"
        if config.keys_of(index) != index:
            return f"layer {index} of {name} works with the keys of another"
        for part in ("query", "key"):
            weight = arrays.get(f"attention.{part}.norm.weight")
            if weight is not None and weight.ndim == 1 and weight.size != config.sizes.E:
                return f"layer {index} of {name} norms the {part} of all heads together"
    return None
