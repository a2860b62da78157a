"""The cache: what earlier tokens offer is kept, keys and values or a state, so that a new token costs one token's work.

A cache is a value: extending one gives a new one and leaves the old as it was, so that two continuations of one prompt
(beams, samples) may share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from llminspect.core.array import Array, namespace, put
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError


class _Store:
    """Room for more tokens than are filled. A place that no `LayerCache` shows yet is written by the first to come."""

    def __init__(self, key_KSE: Array, value_KSE: Array) -> None:
        self.key_KSE, self.value_KSE, self.filled = key_KSE, value_KSE, 0


@dataclass(frozen=True)
class LayerCache:
    """One layer's keys [..., K, S, E] and values [..., K, S, E] of the tokens so far."""

    key_KSE: Array
    value_KSE: Array
    _store: _Store | None = None

    def extend(self, key_KTE: Array, value_KTE: Array, at: int | None = None) -> LayerCache:
        """With T more tokens at the end; with `at` in the places from there on, of which there are enough."""
        if at is not None:
            places_T = (..., at + namespace(key_KTE).arange(key_KTE.shape[-2]), slice(None))
            return LayerCache(put(self.key_KSE, places_T, key_KTE), put(self.value_KSE, places_T, value_KTE))
        if not isinstance(self.key_KSE, np.ndarray):
            xp = namespace(self.key_KSE)
            return LayerCache(
                xp.concat([self.key_KSE, key_KTE], axis=-2), xp.concat([self.value_KSE, value_KTE], axis=-2)
            )
        longer, tokens = self.longer(key_KTE.shape[-2]), key_KTE.shape[-2]
        longer.key_KSE[..., -tokens:, :] = key_KTE
        longer.value_KSE[..., -tokens:, :] = value_KTE
        return longer

    def longer(self, tokens: int) -> LayerCache:
        """With room for so many more at the end, which the caller writes before anybody reads it."""
        before, after = self.key_KSE.shape[-2], self.key_KSE.shape[-2] + tokens
        store = self._store
        if store is None or store.filled != before or store.key_KSE.shape[-2] < after:
            store = self._roomier(max(2 * before, after, 64))
        store.filled = after
        return LayerCache(store.key_KSE[..., :after, :], store.value_KSE[..., :after, :], store)

    def of_texts(self, rows: Array) -> LayerCache:
        """Those of a batch that `rows` name, in that order."""
        return LayerCache(self.key_KSE[rows], self.value_KSE[rows])

    def cut(self, tokens: int) -> LayerCache:
        """Only the first `tokens`."""
        return LayerCache(self.key_KSE[..., :tokens, :], self.value_KSE[..., :tokens, :], self._store)

    def _roomier(self, places: int) -> _Store:
        def grown(array: Array) -> Array:
            *front, tokens, width = array.shape
            larger = np.empty((*front, places, width), array.dtype)
            larger[..., :tokens, :] = array
            return larger

        return _Store(grown(self.key_KSE), grown(self.value_KSE))


@dataclass(frozen=True)
class StateCache:
    """What a layer with a state keeps, however many tokens came; there is no way back to fewer."""

    inputs_UC: Array | None = None
    """The last inputs of its short convolution, [..., U, C]; None of a layer that reads each token by itself."""
    state_JNW: Array | None = None
    """[..., J, N, W]; None where the convolution is all there is."""
    attended: LayerCache | None = None
    """What its attention has seen, where it has one beside the state."""
    read_1C: Array | None = None
    """What its feed-forward step read of the last token, where that looks back on the token before, [..., 1, C]."""

    def of_texts(self, rows: Array) -> StateCache:
        """Those of a batch that `rows` name, in that order."""
        attended = None if self.attended is None else self.attended.of_texts(rows)
        inputs_UC, state_JNW, read_1C = (
            None if kept is None else kept[rows] for kept in (self.inputs_UC, self.state_JNW, self.read_1C)
        )
        return StateCache(inputs_UC, state_JNW, attended, read_1C)

    def cut(self, tokens: int) -> StateCache:
        raise UsageError("a state cannot be taken back to fewer tokens", "run the shorter text again")


@dataclass(frozen=True)
class Source:
    """What the decoder of an encoder–decoder knows of the source text: the encoder's result and what it offers."""

    stream_SD: Array
    """The encoder's result, after its final norm, [..., S, D]."""
    layers: Sequence[LayerCache]
    """Its keys and values for the cross attention of each of the decoder's layers."""
    hidden_S: Array | None = None
    """Source positions (True) that no token may attend to, [..., S]."""


@dataclass(frozen=True)
class Cache:
    """What every layer has seen of the `length` tokens so far."""

    length: int = 0
    layers: Sequence[Any] = ()
    """A LayerCache for each layer, or a StateCache."""
    source: Source | None = None
    places: int | None = None
    """Compiled code has no arrays that grow: of so many places of each layer the first `length` are filled."""

    def cut(self, length: int) -> Cache:
        """As it was after the first `length` tokens. UsageError for fewer than it has, where a layer has a state."""
        if length == self.length:
            return self
        return replace(self, length=length, layers=tuple(seen.cut(length) for seen in self.layers))

    def of_texts(self, rows: Array) -> Cache:
        """Those of a batch that `rows` name, in that order; one may be named more than once."""
        return replace(self, layers=tuple(seen.of_texts(rows) for seen in self.layers))


@dataclass(frozen=True)
class Pass:
    """What a forward pass gives: the residual stream after the last layer, [..., T, D], and the cache."""

    stream_TD: Array
    cache: Cache | None


class Span(NamedTuple):
    """Where the tokens of a pass stand."""

    start: int
    """The position of the first (compiled code: perhaps a number that is known only when it runs)."""
    keys: int
    """How many keys they meet; those that are not filled yet come after all others."""
    first: int | None
    """`start`, where the queries are not the last of the keys."""


def span(cache: Cache | None, tokens: int) -> Span:
    """Of `tokens` more tokens after those of the cache."""
    if cache is None:
        return Span(0, tokens, None)
    if cache.places is None:
        return Span(cache.length, cache.length + tokens, None)
    return Span(cache.length, cache.places, cache.length)


def extend(cache: Cache | None, layer: int, key_KTE: Array, value_KTE: Array) -> LayerCache:
    """The keys and values that `layer` sees: those of the cache, if there is one, and the new ones."""
    kept = None if cache is None or not cache.layers else cache.layers[layer]
    seen: LayerCache | None = kept.attended if isinstance(kept, StateCache) else kept
    more = LayerCache(key_KTE, value_KTE)
    return more if seen is None else seen.extend(key_KTE, value_KTE, span(cache, 0).first)


def state_before(cache: Cache | None, layer: int) -> StateCache | None:
    """What a layer with a state kept of the tokens so far; None before the first."""
    seen = None if cache is None or not cache.layers else cache.layers[layer]
    assert seen is None or isinstance(seen, StateCache)
    return seen
