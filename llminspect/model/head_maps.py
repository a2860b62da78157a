"""One head by itself: the map from what it reads to what it writes, and queries and keys of tokens that stand alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.rotary import rotary_angles, rotate
from llminspect.core.tap import NO_TAP, Capture
from llminspect.model.config import Config
from llminspect.model.embedding import embed, settled
from llminspect.model.folded import FoldedNorm, columns, norm_before, written
from llminspect.model.layer import Layer
from llminspect.model.opened import Model
from llminspect.model.transformer import divisors


@dataclass(frozen=True)
class HeadMaps:
    """A head's own rows of its layer's matrices."""

    layer: int
    head: int
    kv_layer: int
    """Whose keys and values it works with."""
    kv_head: int
    sharing: list[int]
    """The heads that work with the same keys and values."""
    norm: FoldedNorm
    """What the values are read through."""
    read_ED: Array
    """value = read · x, divided by the size of x: the norm's gain is folded in."""
    write_DE: Array
    """What is added to the stream = write · value."""
    value_bias_E: Array | None
    """What the biases make of every value."""


def head_maps(model: Model, layer: int, head: int) -> HeadMaps:
    """Those of a head, with what stands beside the matrices folded in where it is linear."""
    config = model.config
    kv_layer = config.keys_of(layer)
    arrays, kv_arrays = model.params.layer(layer), model.params.layer(kv_layer)
    keys = config.sizes.H if config.sizes.Z else config.heads_of(kv_layer)[0]
    shared = config.sizes.H // keys
    kv_head = head // shared
    value_ED, bias_E = rows_of(kv_arrays, "value" if "attention.value.weight" in kv_arrays else "key", kv_head, keys)
    read_ED = value_ED
    if config.sizes.Z:  # Each value is divided by the size of its latent as well.
        of_latent_EZ = value_ED * np.asarray(kv_arrays["attention.latent.norm.weight"])
        read_ED = of_latent_EZ @ np.asarray(kv_arrays["attention.latent.weight"])
        latent_bias_Z = kv_arrays.get("attention.latent.bias")
        if latent_bias_Z is not None:
            bias_E = of_latent_EZ @ latent_bias_Z + (0 if bias_E is None else bias_E)
    norm = norm_before(kv_arrays, "attention", config)
    if norm.bias_D is not None:
        bias_E = read_ED @ norm.bias_D + (0 if bias_E is None else bias_E)
    width = len(value_ED)
    output = kv_arrays.get("attention.output.weight") if kv_layer == layer else arrays.get("attention.output.weight")
    if output is None:
        write_DE = np.eye(config.sizes.H * width, dtype=np.float32)[:, head * width : (head + 1) * width]
    else:
        write_DE = columns(output, head * width, (head + 1) * width)
    return HeadMaps(
        layer, head, kv_layer, kv_head,
        list(range(kv_head * shared, (kv_head + 1) * shared)), norm,
        norm.before(read_ED), written(arrays, "attention", config, write_DE), bias_E,
    )  # fmt: skip


def rows_of(arrays: Mapping[str, Array], part: str, head: int, heads: int) -> tuple[Array, Array | None]:
    """A head's rows of the matrix `part` of the attention, [E, D], and of its bias, [E]."""
    weight, bias = arrays[f"attention.{part}.weight"], arrays.get(f"attention.{part}.bias")
    width = len(weight) // heads
    rows = slice(head * width, (head + 1) * width)
    return np.asarray(weight[rows]), None if bias is None else np.asarray(bias[rows])


class Scores:
    """Queries and keys of one head, for tokens that stand alone in the stream: exactly what the model makes of them.

    Exact for the first layer, where nothing else is in the stream, but for what a token's place adds to it.
    """

    def __init__(self, model: Model, maps: HeadMaps) -> None:
        self._model, self._config, self._maps = model, model.config, maps
        self.layer, self.head = maps.layer, maps.head
        self.rotary = model.config.rotary_of(maps.layer)
        """How queries and keys are turned by position, if they are."""
        self.scale = model.config.scale_of(maps.layer)
        self._query = _alone(model, maps.layer, maps)
        self._key = self._query if maps.kv_layer == maps.layer else _alone(model, maps.kv_layer, maps)

    def vectors(self, x_TD: Array) -> tuple[Array, Array]:
        """The queries and keys [T, E] of vectors that stand in the stream, at position 0 and before a gain that comes
        after the rotation."""
        made = self._query.layer.into_attention(x_TD, *self.angles(0))
        others = made if self._key is self._query else self._key.layer.into_attention(x_TD, *self.angles(0))
        query_TE: Array = made[0][self._query.head]
        key_TE: Array = others[1][self._key.kv_head]
        return query_TE, key_TE

    def queries(self, query_TE: Array, distance: int, tokens: int = 1) -> Array:
        """Queries as they are `distance` tokens after the first one, scaled, to be multiplied with `keys`; of several
        `tokens` a row for each distance from there."""
        if self.rotary is not None:
            cos_TP, sin_TP, *growth = self.angles(distance, tokens)
            by = cos_TP / self.rotary.gain, sin_TP / self.rotary.gain  # Which they have from position 0.
            query_TE = rotate(query_TE, by, self.rotary.pairs, self._config.sizes.M)
            for growth_T1 in growth:
                query_TE = query_TE * growth_T1
        return _with_gain(query_TE, self._query.gains["query"]) * self.scale

    def keys(self, key_TE: Array) -> Array:
        """Keys as they are at position 0."""
        return _with_gain(key_TE, self._key.gains["key"])

    def angles(self, position: int, tokens: int = 1) -> tuple[Array, ...]:
        """cos and sin by which what stands from a position on is turned; nothing where nothing is."""
        if self.rotary is None:
            return ()
        length, usual = position + tokens, self.rotary is self._config.rotary
        by = divisors(self._model.params, self.rotary, length) if usual else None
        return rotary_angles(np.zeros(1, np.float32), position, tokens, self.rotary, by)


@dataclass(frozen=True)
class LoneHead:
    """A layer in which nothing but one head is left, where that can be."""

    layer: Layer
    head: int
    kv_head: int
    gains: Mapping[str, Array | None]
    """Of queries and keys after their rotation, [E]."""


def _alone(model: Model, index: int, maps: HeadMaps) -> LoneHead:
    """A norm over all heads at once needs them all: then the whole layer, and which head it is of."""
    arrays, config = dict(model.params.layer(index)), model.config
    arrays.pop("attention.gate.weight", None)
    gains: dict[str, Array | None] = {}
    for part, head in (("query", maps.head), ("key", maps.kv_head)):
        name = f"attention.{part}.norm_after.weight"
        gain = arrays.get(name)
        gains[part] = gain if gain is None or gain.ndim == 1 else gain[head]
        if gain is not None:
            arrays[name] = np.ones(gain.shape[-1], np.float32)
    if any(_normed_together(arrays, part) for part in ("query", "key")):
        return LoneHead(Layer(arrays, config, index, "", NO_TAP), maps.head, maps.kv_head, gains)
    keys = config.sizes.H if config.sizes.Z else config.heads_of(index)[0]
    for part in ("query", "key", "value"):
        heads, head = (config.sizes.H, maps.head) if part == "query" else (keys, maps.kv_head)
        if f"attention.{part}.weight" not in arrays:
            continue
        weight, bias = rows_of(arrays, part, head, heads)
        arrays |= {f"attention.{part}.weight": weight, **({} if bias is None else {f"attention.{part}.bias": bias})}
        norm = arrays.get(f"attention.{part}.norm.weight")
        if norm is not None and norm.ndim == 2:
            arrays[f"attention.{part}.norm.weight"] = norm[head]
    return LoneHead(Layer(arrays, _with_one_head(config), index, "", NO_TAP), 0, 0, gains)


def _normed_together(arrays: Mapping[str, Array], part: str) -> bool:
    """Whether queries or keys are normed over all heads at once."""
    norm, weight = arrays.get(f"attention.{part}.norm.weight"), arrays.get(f"attention.{part}.weight")
    return norm is not None and weight is not None and norm.ndim == 1 and len(norm) == len(weight)


def _with_gain(x_TE: Array, gain_E: Array | None) -> Array:
    return x_TE if gain_E is None else x_TE * gain_E


def _with_one_head(config: Config) -> Config:
    """The same of a model whose layers have one head each."""
    changed: dict[str, Any] = {"sizes": replace(config.sizes, H=1, K=1)}
    whole = getattr(config, "whole_heads", None)
    if whole is not None:
        changed["whole_heads"] = (1, whole[1])
    made: Config = replace(cast("Any", config), **changed)
    return made


def position_vectors(model: Model, count: int) -> Array | None:
    """What positions add to the stream, by themselves, [positions, D]; None where they add nothing."""
    capture, config = Capture("embedding.positions", optional=True), model.config
    embed(model.params, config, np.full(count, 1 if config.padding_id == 0 else 0), 0, capture)
    found_PD = capture.arrays.get("embedding.positions")
    return None if found_PD is None else settled(model.params, config, found_PD)
