"""A model's arrays and its cache as compiled code takes them.

Arrays are kept small and computed with in full, those of layers of one kind in one pile; the keys of all layers are one
array, of a size that changes seldom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from llminspect.core.array import Array
from llminspect.core.cache import Cache, LayerCache, Source
from llminspect.model.params import OF_A_LAYER
from llminspect.model.spec import TensorSpec

Piles = dict[str, tuple[TensorSpec, ...]]
Places = dict[str, tuple[str, int | None]]


LEAST = 64
"""Places of the smallest cache; each larger one has twice as many."""


class Piled(Sequence[LayerCache]):
    """What all layers have seen, keys [L, ..., K, S, E] and values [L, ..., K, S, E]."""

    def __init__(self, key_LKSE: Array, value_LKSE: Array) -> None:
        self.key_LKSE, self.value_LKSE = key_LKSE, value_LKSE

    def __len__(self) -> int:
        return len(self.key_LKSE)

    def __getitem__(self, index: int) -> LayerCache:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return LayerCache(self.key_LKSE[index], self.value_LKSE[index])


def piled_layers(parts: Sequence[tuple[Array, Array]]) -> Sequence[LayerCache]:
    """Keys and values of groups of layers, [layers, ...] each, as one."""
    if not parts:
        return ()
    keys, values = ([pair[which] for pair in parts] for which in (0, 1))
    if len(parts) == 1:
        return Piled(keys[0], values[0])
    return Piled(jnp.concatenate(keys), jnp.concatenate(values))  # type: ignore[arg-type]


def places_for(tokens: int) -> int:
    """The size of the cache that holds so many tokens."""
    places = LEAST
    while places < tokens:
        places *= 2
    return places


def roomy(cache: Cache, tokens: int) -> Cache:
    """The same with places for at least so many tokens in every layer."""
    if not cache.layers or (cache.places is not None and cache.places >= tokens):
        return cache
    places, (key_LKSE, value_LKSE) = places_for(tokens), pair_of(cache.layers)

    def padded(array: Array) -> Array:
        room = [(0, 0)] * array.ndim
        room[-2] = (0, places - array.shape[-2])
        longer: Any = jnp.pad(array, room)
        return longer

    return replace(cache, layers=Piled(padded(key_LKSE), padded(value_LKSE)), places=places)


def pair_of(layers: Sequence[LayerCache]) -> Any:
    """The keys and the values of all layers; None where there are none."""
    if not layers:
        return None
    if isinstance(layers, Piled):
        return layers.key_LKSE, layers.value_LKSE
    return jnp.stack([seen.key_KSE for seen in layers]), jnp.stack([seen.value_KSE for seen in layers])


def as_tree(cache: Cache | None) -> Any:
    """The arrays of a cache, and its length where that is no part of the code."""
    if cache is None:
        return None
    source = cache.source
    return {
        "layers": pair_of(cache.layers),
        "source": None if source is None else (source.stream_SD, pair_of(source.layers), source.hidden_S),
        "length": None if cache.places is None else cache.length,
    }


def from_tree(tree: Any, length: int, places: int | None) -> Cache | None:
    """A cache of these arrays; `length` is taken where the tree has none."""
    if tree is None:
        return None
    source = None
    if tree["source"] is not None:
        stream_SD, pair, hidden_S = tree["source"]
        source = Source(stream_SD, _layers(pair), hidden_S)
    return Cache(length if tree["length"] is None else tree["length"], _layers(tree["layers"]), source, places)


def _layers(pair: Any) -> Sequence[LayerCache]:
    return () if pair is None else Piled(*pair)


def piled(specs: Iterable[TensorSpec]) -> Piles:
    """What is kept as one array, by its name: the arrays of all layers that bear one name and have one shape.

    `layers.*.attention.query.weight` is a pile; what belongs to no layer is an array of its own name.
    """
    piles: Piles = {}
    for spec in specs:
        found = OF_A_LAYER.fullmatch(spec.name)
        name = f"{found['stack']}.*.{found['short']}" if found else spec.name
        while name in piles and piles[name][0].shape != spec.shape:  # Another width in some layers.
            name += "'"
        piles[name] = (*piles.get(name, ()), spec)
    return piles


def is_pile(name: str) -> bool:
    return ".*." in name


def places_in(piles: Piles) -> Places:
    """The pile of each array, and its row there; None: it is no pile."""
    return {
        spec.name: (name, row if is_pile(name) else None)
        for name, specs in piles.items()
        for row, spec in enumerate(specs)
    }


class Widened(Mapping[str, "Array"]):
    """Arrays by their names in the core as float32, whatever they are kept as."""

    def __init__(self, arrays: Mapping[str, Array], places: Places) -> None:
        self.arrays, self.places = arrays, places

    def __getitem__(self, name: str) -> Array:
        pile, row = self.places[name]
        array = self.arrays[pile] if row is None else self.arrays[pile][row]
        return array.astype(jnp.float32)

    def at(self, pile: str, row: Array) -> Array:
        """One array of a pile, by a number that is known only when the code runs."""
        array: Array = jax.lax.dynamic_index_in_dim(self.arrays[pile], row, keepdims=False)
        return array.astype(jnp.float32)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
