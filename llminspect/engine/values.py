"""The cache as compiled code takes it: nested tuples of arrays, of a size that changes seldom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.core.cache import Cache, Seen, Source

if TYPE_CHECKING:
    from llminspect.core.array import Array

LEAST = 64
"""Places of the smallest cache; each larger one has twice as many."""


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

    places = places_for(tokens)

    def padded(array: Array) -> Array:
        room = [(0, 0)] * array.ndim
        room[-2] = (0, places - array.shape[-2])
        longer: Any = jnp.pad(array, room)
        return longer

    layers = tuple(Seen(padded(seen.key_KSE), padded(seen.value_KSE)) for seen in cache.layers)
    return replace(cache, layers=layers, places=places)


def as_tree(cache: Cache | None) -> Any:
    """The arrays of a cache, and its length where that is no part of the code."""
    if cache is None:
        return None
    source = cache.source
    return {
        "layers": [(seen.key_KSE, seen.value_KSE) for seen in cache.layers],
        "source": None
        if source is None
        else (source.stream_SD, [(seen.key_KSE, seen.value_KSE) for seen in source.layers], source.hidden_S),
        "length": None if cache.places is None else cache.length,
    }


def from_tree(tree: Any, length: int, places: int | None) -> Cache | None:
    """A cache of these arrays; `length` is taken where the tree has none."""
    if tree is None:
        return None
    source = None
    if tree["source"] is not None:
        stream_SD, layers, hidden_S = tree["source"]
        source = Source(stream_SD, tuple(Seen(*pair) for pair in layers), hidden_S)
    layers = tuple(Seen(*pair) for pair in tree["layers"])
    return Cache(length if tree["length"] is None else tree["length"], layers, source, places)
