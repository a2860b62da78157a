"""Layers of one kind as one piece of code that runs once for each: the time to compile does not grow with them.

Of one kind are layers whose step is the same and of which a tap wants the same, so a layer that is changed or looked at
alone stands alone. Families that alternate (a window, every sixth layer without) repeat a group of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from llminspect.backends.jax.plan import Recorder
from llminspect.backends.jax.values import Piled, Widened, piled_layers
from llminspect.core.array import Array
from llminspect.core.cache import Cache, LayerCache
from llminspect.core.tap import Capture, Tap
from llminspect.model.params import LayerStep, Params

LONGEST = 12
"""Layers of the longest group whose repetition is looked for."""


def runs(kinds: Sequence[Hashable]) -> Iterator[tuple[int, int, int]]:
    """What follows what, as (first, length of the group, how often): A B A B A is (0, 2, 2), (4, 1, 1).

    At each place the repetition that goes furthest, of these the shortest group.
    """
    start = 0
    while start < len(kinds):
        best = (1, 1)
        for length in range(1, min(LONGEST, (len(kinds) - start) // 2) + 1):
            group, times = kinds[start : start + length], 1
            while list(kinds[start + times * length : start + (times + 1) * length]) == list(group):
                times += 1
            if times > 1 and times * length > best[0] * best[1]:
                best = (length, times)
        yield start, *best
        start += best[0] * best[1]


class Scanned(Params):
    """A model's arrays inside code that is being compiled."""

    def __init__(self, arrays: Widened) -> None:
        super().__init__(arrays)
        self.widened = arrays

    def through(
        self,
        step: LayerStep,
        stream_TD: Array,
        layers: int,
        tap: Tap,
        cache: Cache | None = None,
        *,
        stack: str = "layers",
        layer_kind: Callable[[int], Hashable] = lambda index: None,
    ) -> tuple[Array, Sequence[LayerCache]]:
        """As `Params.through`; what the layers have seen is piled up as well."""
        assert isinstance(tap, Recorder)
        piles = [
            {short: self.widened.places[name] for short, name in self._names[stack, at].items()} for at in range(layers)
        ]
        kinds: list[Hashable] = [
            (layer_kind(at), tuple((short, pile) for short, (pile, _) in piles[at].items())) for at in range(layers)
        ]
        if tap.parts:
            names: dict[Hashable, list[str]] = {}
            for at, kind in enumerate(kinds):
                if kind not in names:
                    names[kind] = self._names_of(step, at, stream_TD, cache, stack)
            full_names = [[f"{stack}.{at}.{name}" for name in names[kind]] for at, kind in enumerate(kinds)]
            ends = tap.last_layers(stack)
            kinds = [(kind, tap.wanted(full_names[at]), at if at in ends else None) for at, kind in enumerate(kinds)]
        else:
            full_names = [[] for _ in kinds]
        seen: list[tuple[Array, Array]] = []
        for start, length, times in runs(kinds):
            if times == 1:
                stream_TD, now_seen = step(start, self.layer(start, stack), stream_TD, cache, tap)
                found = None if now_seen is None else (now_seen.key_KSE[None], now_seen.value_KSE[None])
            else:
                group = _Group(stack, start, length, times, piles, full_names)
                stream_TD, found = self._repeat(step, group, stream_TD, cache, tap)
            if found is not None:
                seen.append(found)
        return stream_TD, piled_layers(seen)

    def _names_of(self, step: LayerStep, at: int, stream_TD: Array, cache: Cache | None, stack: str) -> list[str]:
        """What a tap may see of a layer, as the names' ends."""
        tap, front = Capture("*"), f"{stack}.{at}."
        named = self._names[stack, at].items()
        # Arrays of a piece of code that is inside another are made for it alone: `layer` would keep them.
        jax.eval_shape(lambda: step(at, {short: self.widened[name] for short, name in named}, stream_TD, cache, tap)[0])
        return [name.removeprefix(front) for name in tap.arrays]

    def _repeat(
        self, step: LayerStep, group: _Group, stream_TD: Array, cache: Cache | None, tap: Recorder
    ) -> tuple[Array, tuple[Array, Array] | None]:
        inner: list[Recorder] = []

        def body(stream_TD: Any, now: Any) -> Any:
            turn, operands = now
            inner.clear()
            seen: list[Any] = []
            for offset in range(group.length):
                at = group.start + offset
                layer = {short: self.widened.at(*place) for short, place in group.places(offset, turn).items()}
                inner.append(tap.inside(group.names[at], operands[offset]))
                stream_TD, now_seen = step(at, layer, stream_TD, _at(cache, at + turn * group.length), inner[-1])
                seen.append(None if now_seen is None else (now_seen.key_KSE, now_seen.value_KSE))
            return stream_TD, (seen, [recorder.kept for recorder in inner])

        operands = [self._operands(group, offset, tap) for offset in range(group.length)]
        last_TD, (seen, kept) = jax.lax.scan(body, stream_TD, (jnp.arange(group.times), operands))
        tap.take(
            kept,
            [
                (recorder.shown, [group.names[at] for at in group.layers(offset)])
                for offset, recorder in enumerate(inner)
            ],
        )
        if seen[0] is None:
            return last_TD, None

        def in_order(parts: Sequence[Any]) -> Any:
            """[times, ...] for each layer of the group to [layers, ...]."""
            return parts[0] if len(parts) == 1 else jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])

        return last_TD, (in_order([key for key, _ in seen]), in_order([value for _, value in seen]))

    @staticmethod
    def _operands(group: _Group, offset: int, tap: Recorder) -> list[tuple[Any, ...]]:
        """For each change of the layer at `offset` its operands, those of all repetitions on top of each other."""
        changes = [tap.changes(group.names[at]) for at in group.layers(offset)]
        return [
            tuple(jnp.stack(values) for values in zip(*(tap.operands[part] for part in parts), strict=True))
            for parts in zip(*changes, strict=True)
        ]


class _Group:
    """`length` layers from `start` on that come `times` times."""

    def __init__(
        self,
        stack: str,
        start: int,
        length: int,
        times: int,
        piles: Sequence[dict[str, tuple[str, int | None]]],
        names: Sequence[Sequence[str]],
    ) -> None:
        self.stack, self.start, self.length, self.times = stack, start, length, times
        self.piles, self.names = piles, names

    def layers(self, offset: int) -> list[int]:
        return [self.start + offset + turn * self.length for turn in range(self.times)]

    def places(self, offset: int, turn: Any) -> dict[str, tuple[str, Any]]:
        """The pile and the row there of each array of a layer; each repetition takes as many rows of a pile."""
        first, second, *_ = self.layers(offset)
        found = {}
        for short, (pile, row) in self.piles[first].items():
            following = self.piles[second][short][1]
            assert row is not None and following is not None
            found[short] = pile, row + turn * (following - row)
        return found


def _at(cache: Cache | None, row: Array) -> Cache | None:
    """The cache of one layer, by a number that is known only when the code runs."""
    if cache is None:
        return None

    def one(layers: Sequence[LayerCache]) -> Sequence[LayerCache]:
        """That layer's, whichever is asked for: the code serves many layers."""
        if not layers:
            return layers
        assert isinstance(layers, Piled)
        parts = [
            jax.lax.dynamic_index_in_dim(array, row, keepdims=False) for array in (layers.key_LKSE, layers.value_LKSE)
        ]
        return (LayerCache(*parts),) * len(layers)

    source = cache.source
    return replace(
        cache, layers=one(cache.layers), source=None if source is None else replace(source, layers=one(source.layers))
    )
