"""A model's arrays by their names in the core."""

from __future__ import annotations

import re
from collections import UserDict, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.core.array import Array
from llminspect.core.cache import Cache
from llminspect.core.tap import Tap

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

LayerStep = Callable[[int, Mapping[str, Array], Array, Cache | None, Tap], tuple[Array, Any]]
TokenStep = Callable[[Array, Sequence[Array], Cache], tuple[Array, Sequence[Any]] | None]


READERS = 2
"""Threads that make the arrays of the next layer."""
OF_A_LAYER = re.compile(r"(?P<stack>.+?)\.(?P<index>\d+)\.(?P<short>.+)")


class Params:
    """`params["embedding.weight"]`, `params.layer(3)["attention.query.weight"]`.

    `arrays` may be any mapping, also one that reads and dequantizes an array when it is asked for; with `keep` false a
    layer's arrays are fetched anew at each use and none is held. Then, while layers are asked for in their order, the
    next one is fetched in a thread of its own: two layers are in memory at most.
    """

    def __init__(self, arrays: Mapping[str, Array], keep: bool = True) -> None:
        self.arrays = arrays
        self.get: Callable[[str], Array | None] = arrays.get
        self.one_token: TokenStep | None = None
        """What takes the stream of one more token, its rotation and a cache through all layers at one stroke, if
        anything does: to the stream after them and what they have seen, or to None, where it has to go step by step."""
        self._keep = keep
        self._kept: dict[tuple[str, int], Mapping[str, Array]] = {}
        self._names: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        self._last = ("", -1)
        self._ahead: tuple[tuple[str, int], list[Future[Array]]] | None = None
        self._threads: ThreadPoolExecutor | None = None
        for name in arrays:
            found = OF_A_LAYER.fullmatch(name)
            if found:
                self._names[found["stack"], int(found["index"])][found["short"]] = name

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def replacing(self, changed: Mapping[str, Any]) -> Params:
        """The same, with other arrays by some of the names."""
        if not isinstance(self.arrays, OnDemand):
            return Params({**self.arrays, **changed}, self._keep)
        made = {name: partial(changed.__getitem__, name) for name in changed}
        return Params(OnDemand({**self.arrays.data, **made}, self.arrays.parts), self._keep)

    def in_parts(self, name: str) -> bool:
        """Whether the file allows to read less of an array than the whole."""
        return isinstance(self.arrays, OnDemand) and name in self.arrays.parts

    def part(self, name: str, index: tuple[slice, ...]) -> Array:
        """`params[name][index]`, of which no more is read than is asked for, where the file allows it."""
        if isinstance(self.arrays, OnDemand) and name in self.arrays.parts:
            return self.arrays.parts[name](index)
        whole: Array = self.arrays[name]
        return whole[index]

    def layer(self, index: int, stack: str = "layers") -> Mapping[str, Array]:
        """The arrays of one layer of a stack, by the part of their name after `{stack}.{index}.`."""
        if not self._keep:
            return self._fetched(stack, index)
        if (stack, index) not in self._kept:
            self._kept[stack, index] = {short: self.arrays[name] for short, name in self._names[stack, index].items()}
        return self._kept[stack, index]

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
    ) -> tuple[Array, Sequence[Any]]:
        """The stream through each layer of a stack in turn, and what they have seen.

        `step(index, layer, stream_TD, cache, tap)` is one layer. `layer_kind(index)` is equal for those that do the
        same with other arrays: an engine that compiles makes code for one of them. So a step uses its index for names,
        its place in the cache and what `layer_kind` depends on, and nothing else.
        """
        seen = []
        for index in range(layers):
            stream_TD, now_seen = step(index, self.layer(index, stack), stream_TD, cache, tap)
            if now_seen is not None:
                seen.append(now_seen)
        return stream_TD, tuple(seen)

    def _fetched(self, stack: str, index: int) -> Mapping[str, Array]:
        names, (found, self._ahead) = self._names[stack, index], (self._ahead, None)
        if found is not None and found[0] == (stack, index):
            made = [future.result() for future in found[1]]
        else:
            for future in [] if found is None else found[1]:
                future.cancel()
            made = [self.arrays[name] for name in names.values()]
        following = self._names.get((stack, index + 1))
        if following and (index == 0 or self._last == (stack, index - 1)):
            from concurrent.futures import ThreadPoolExecutor

            self._threads = self._threads or ThreadPoolExecutor(READERS)
            futures = [self._threads.submit(self.arrays.__getitem__, name) for name in following.values()]
            self._ahead = (stack, index + 1), futures
        self._last = stack, index
        return dict(zip(names, made, strict=True))


class OnDemand(UserDict[str, Any]):
    """Arrays that are made anew each time one is asked for: what is put in by a name makes it."""

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Any]],
        parts: Mapping[str, Callable[[tuple[slice, ...]], Array]] | None = None,
    ) -> None:
        super().__init__(makers)
        self.parts = parts or {}
        """How to make a part of an array without the whole, where that can be done."""

    def __getitem__(self, name: str) -> Array:
        array: Array = self.data[name]()
        return array
