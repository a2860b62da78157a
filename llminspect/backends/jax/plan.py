"""A tap taken apart: what changes arrays inside compiled code, what looks at them afterwards.

Compiled code is traced once and then runs without Python. So an `Edit` acts while the code is traced, its operands
being arguments of the code; whatever only looks is shown the same arrays, in the same order, when the code has run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import field
from typing import Any, NamedTuple

import jax
import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.intervention import Outside
from llminspect.core.tap import Chain, Edit, Enough, NoTap, Quiet, Tap, Under, Until, matches
from llminspect.errors import UserError


@dataclass(frozen=True)
class Change:
    """An `Edit` without its operands."""

    name: str
    change: Callable[..., Array]

    def at(self, name: str) -> bool:
        return matches(name, self.name)

    def act(self, array: Array, operands: tuple[Any, ...], failed: list[Exception]) -> Array:
        """The array changed; by a function that is none of the core's outside the compiled code, on numpy's arrays. One
        that raises leaves an entry in `failed`."""
        if not isinstance(self.change, Outside):
            return self.change(array, *operands)

        def outside(numbers: Any) -> Array:
            plain = np.asarray(numbers)
            try:
                return self.change(plain)
            except Exception as error:
                failed.append(error)
                return plain

        changed: Array = jax.pure_callback(outside, jax.ShapeDtypeStruct(array.shape, array.dtype), array)
        return changed


@dataclass(frozen=True)
class Look:
    """Who looks, by the patterns of the names; `wants` for one that has none (it is then equal to itself alone)."""

    patterns: tuple[str, ...] = ()
    wants: Callable[[str], bool] | None = None
    prefix: str = ""
    """What the names must start with; this part is taken off before they are compared."""

    def at(self, name: str) -> bool:
        if not name.startswith(self.prefix):
            return False
        rest = name.removeprefix(self.prefix)
        return self.wants(rest) if self.wants else any(matches(rest, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class StopAfter:
    """The end of the pass, once all of these went by."""

    names: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """A tap as compiled code sees it: equal plans share one program."""

    parts: tuple[Hashable, ...]
    leaves: tuple[Tap, ...] = field(compare=False)

    @property
    def operands(self) -> list[tuple[Any, ...]]:
        return [leaf.operands if isinstance(leaf, Edit) else () for leaf in self.leaves]

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What is changed and how, in the same words on every process."""
        parts = [part for part in self.parts if isinstance(part, Change)]
        return [(part.name, getattr(part.change, "__qualname__", None) or repr(part.change)) for part in parts]


def planned(tap: Tap) -> Plan:
    """The parts of a tap in the order in which they act."""
    leaves = list(_leaves(tap))
    return Plan(tuple(part for part, _ in leaves), tuple(leaf for _, leaf in leaves))


def _leaves(tap: Tap, prefix: str = "") -> Sequence[tuple[Hashable, Tap]]:
    if isinstance(tap, NoTap):
        return []
    if isinstance(tap, Chain):
        return [leaf for inner in tap.taps for leaf in _leaves(inner, prefix)]
    if isinstance(tap, Quiet):
        return _leaves(tap.tap, prefix)
    if isinstance(tap, Under):
        return _leaves(tap.tap, prefix + tap.prefix)
    if isinstance(tap, Until):
        return [*_leaves(tap.tap, prefix), (StopAfter(frozenset(prefix + name for name in tap.left)), tap)]
    if isinstance(tap, Edit):
        return [(Change(prefix + tap.name, tap.change), tap)]
    patterns = getattr(tap, "patterns", None)
    look = Look(wants=tap.wants, prefix=prefix) if patterns is None else Look(tuple(patterns), prefix=prefix)
    return [(look, tap)]


class Shown(NamedTuple):
    """One array that somebody looks at."""

    name: str
    part: int
    """Which part of the plan looks."""
    slot: int
    """Which of the kept arrays it is."""
    row: int | None = None
    """Which row of that, where it holds the arrays of many layers."""


class Recorder:
    """The tap inside traced code: applies the changes, keeps what somebody looks at. Raises Enough as `Until` does."""

    def __init__(self, parts: Sequence[Any], operands: Sequence[tuple[Any, ...]]) -> None:
        self.parts, self.operands = parts, operands
        self.kept: list[Array] = []
        self.shown: list[Shown] = []
        """What was seen, in order."""
        self.left = {index: set(part.names) for index, part in enumerate(parts) if isinstance(part, StopAfter)}
        self.stopped = False
        self.acted: set[int] = set()
        """Which parts have changed something."""
        self.failed: list[Exception] = []
        """What changes outside the compiled code raised."""

    def wants(self, name: str) -> bool:
        return any(isinstance(part, Look | Change) and part.at(name) for part in self.parts)

    def __call__(self, name: str, array: Array) -> Array:
        slot = None
        for index, part in enumerate(self.parts):
            if isinstance(part, Change) and part.at(name):
                array, slot = part.act(array, self.operands[index], self.failed), None
                self.acted.add(index)
            elif isinstance(part, Look) and part.at(name):
                if slot is None:
                    slot = len(self.kept)
                    self.kept.append(array)
                self.shown.append(Shown(name, index, slot))
        for names in self.left.values():
            names.discard(name)
            if not names:
                self.stopped = True
                raise Enough
        return array

    # -- Layers that share their code ----------------------------------------------------------------------------------

    def last_layers(self, stack: str) -> set[int]:
        """The layers of a stack after which a pass may end: each needs code of its own."""
        found = set()
        for names in self.left.values():
            layers = [
                int(name.removeprefix(f"{stack}.").split(".")[0]) for name in names if name.startswith(f"{stack}.")
            ]
            found.update([max(layers)] if layers else [])
        return found

    def wanted(self, names: Sequence[str]) -> Hashable:
        """What is done with a layer's arrays: equal for layers that can share their code."""
        return tuple(
            (place, part.change, tuple((np.shape(value), str(value.dtype)) for value in self.operands[index]))
            if isinstance(part, Change)
            else (place, index)
            for place, name in enumerate(names)
            for index, part in self._acting(name)
        )

    def changes(self, names: Sequence[str]) -> list[int]:
        """Which parts change arrays of these names, in the order of the names."""
        found = [index for name in names for index, part in self._acting(name) if isinstance(part, Change)]
        self.acted.update(found)
        return found

    def _acting(self, name: str) -> Iterator[tuple[int, Any]]:
        for index, part in enumerate(self.parts):
            if isinstance(part, Look | Change) and part.at(name):
                yield index, part

    def inside(self, names: Sequence[str], operands: Sequence[tuple[Any, ...]]) -> Recorder:
        """That of the code for many layers: of one with these names, whose changes have these operands."""
        replaced = list(self.operands)
        for index, values in zip(self.changes(names), operands, strict=True):
            replaced[index] = values
        inner = Recorder(self.parts, replaced)
        inner.left, inner.failed = {}, self.failed
        return inner

    def take(
        self, kept: Sequence[Sequence[Array]], seen: Sequence[tuple[Sequence[Shown], Sequence[Sequence[str]]]]
    ) -> None:
        """What was kept in the code for many layers, a row for each repetition.

        `seen` says for each layer of the group what was shown there, and the names of that layer's arrays at each
        repetition, the first being those under which they were shown.
        """
        slots = []
        for arrays in kept:
            slots.append(len(self.kept))
            self.kept.extend(arrays)
        for turn in range(len(seen[0][1])):
            for first, (shown, names) in zip(slots, seen, strict=True):
                renamed = dict(zip(names[0], names[turn], strict=True))
                self.shown += [Shown(renamed[name], part, first + slot, turn) for name, part, slot, _ in shown]
                for left in self.left.values():
                    left.difference_update(names[turn])


def hand_on(plan: Plan, shown: Sequence[Shown], kept: Sequence[Array], stopped: bool) -> None:
    """Hand the arrays to those who look. Raises UserError where one of them gives back another array."""
    for name, index, slot, row in shown:
        part, array = plan.parts[index], kept[slot] if row is None else kept[slot][row]
        assert isinstance(part, Look)
        if plan.leaves[index](name.removeprefix(part.prefix), array) is not array:
            raise UserError(
                f"{type(plan.leaves[index]).__name__} changes {name}, and only an Edit can be compiled",
                "take --engine numpy",
            )
    if stopped:
        raise Enough
