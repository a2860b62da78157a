"""The cache as compiled code takes it: the keys of all layers as one array, of a size that changes seldom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from llminspect.core.cache import Cache, LayerCache, Source

if TYPE_CHECKING:
    from llminspect.core.array import Array

LEAST = 64
"""Places of the smallest cache; each larger one has twice as many."""


class Piled(Sequence[LayerCache]):
    """What all layers have seen, keys [L, ..., K, S, E] and values [L, ..., K, S, E]."""

    def __init__(self, key_LKSE: Array, value_LKSE: Array) -> None:
        self.key_LKSE, self.value_LKSE = key_LKSE, value_LKSE

    def __len__(self) -> int:
        return len(self.key_LKSE)

    @overload
    def __getitem__(self, index: int) -> LayerCache: ...

    @overload
    def __getitem__(self, index: slice) -> Piled: ...

    def __getitem__(self, index: int | slice) -> LayerCache | Piled:
        if isinstance(index, slice):
            return Piled(self.key_LKSE[index], self.value_LKSE[index])
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return LayerCache(self.key_LKSE[index], self.value_LKSE[index])


class Only(Sequence[LayerCache]):
    """One layer's, whichever is asked for: inside code that serves many layers."""

    def __init__(self, seen: LayerCache) -> None:
        self.seen = seen

    def __len__(self) -> int:
        return 1

    @overload
    def __getitem__(self, index: int) -> LayerCache: ...

    @overload
    def __getitem__(self, index: slice) -> Only: ...

    def __getitem__(self, index: int | slice) -> LayerCache | Only:
        return self if isinstance(index, slice) else self.seen


def piled_layers(parts: Sequence[tuple[Array, Array]]) -> Sequence[LayerCache]:
    """Keys and values of groups of layers, [layers, ...] each, as one."""
    if not parts:
        return ()
    import jax.numpy as jnp

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
    import jax.numpy as jnp

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
    import jax.numpy as jnp

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
