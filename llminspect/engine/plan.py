"""A tap taken apart: what changes arrays inside compiled code, what looks at them afterwards.

Compiled code is traced once and then runs without Python. So an `Edit` acts while the code is traced, its operands
being arguments of the code; whatever only looks is shown the same arrays, in the same order, when the code has run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from llminspect.core.tap import Chain, Edit, Enough, NoTap, Under, Until
from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap


@dataclass(frozen=True)
class Change:
    """An `Edit` without its operands."""

    name: str
    change: Callable[..., Array]


@dataclass(frozen=True)
class Look:
    """Who looks, by the patterns of the names; `wants` for one that has none (it is then equal to itself alone)."""

    patterns: tuple[str, ...] = ()
    wants: Callable[[str], bool] | None = None
    prefix: str = ""
    """What the names must start with; it is not told this part of them."""

    def at(self, name: str) -> bool:
        if not name.startswith(self.prefix):
            return False
        own = name.removeprefix(self.prefix)
        return self.wants(own) if self.wants else any(fnmatchcase(own, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class Stop:
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


def planned(tap: Tap) -> Plan:
    """The parts of a tap in the order in which they act."""
    leaves = list(_leaves(tap))
    return Plan(tuple(part for part, _ in leaves), tuple(leaf for _, leaf in leaves))


def _leaves(tap: Tap, prefix: str = "") -> Sequence[tuple[Hashable, Tap]]:
    if isinstance(tap, NoTap):
        return []
    if isinstance(tap, Chain):
        return [leaf for inner in tap.taps for leaf in _leaves(inner, prefix)]
    if isinstance(tap, Under):
        return _leaves(tap.tap, prefix + tap.prefix)
    if isinstance(tap, Until):
        return [*_leaves(tap.tap, prefix), (Stop(frozenset(prefix + name for name in tap.left)), tap)]
    if isinstance(tap, Edit):
        return [(Change(prefix + tap.name, tap.change), tap)]
    patterns = getattr(tap, "patterns", None)
    look = Look(wants=tap.wants, prefix=prefix) if patterns is None else Look(tuple(patterns), prefix=prefix)
    return [(look, tap)]


class Recorder:
    """The tap inside traced code: applies the changes, keeps what somebody looks at. Raises Enough as `Until` does."""

    def __init__(self, parts: Sequence[Any], operands: Sequence[tuple[Any, ...]]) -> None:
        self.parts, self.operands = parts, operands
        self.kept: list[Array] = []
        self.shown: list[tuple[str, int, int]] = []
        """What was seen, in order: the name, which part looks, which of the kept arrays it is."""
        self.left = {index: set(part.names) for index, part in enumerate(parts) if isinstance(part, Stop)}
        self.stopped = False

    def wants(self, name: str) -> bool:
        return any(
            (isinstance(part, Look) and part.at(name)) or (isinstance(part, Change) and part.name == name)
            for part in self.parts
        )

    def __call__(self, name: str, array: Array) -> Array:
        slot = None
        for index, part in enumerate(self.parts):
            if isinstance(part, Change) and part.name == name:
                array, slot = part.change(array, *self.operands[index]), None
            elif isinstance(part, Look) and part.at(name):
                if slot is None:
                    slot = len(self.kept)
                    self.kept.append(array)
                self.shown.append((name, index, slot))
        for names in self.left.values():
            names.discard(name)
            if not names:
                self.stopped = True
                raise Enough
        return array


def show(plan: Plan, shown: Sequence[tuple[str, int, int]], kept: Sequence[Array], stopped: bool) -> None:
    """Hand the arrays to those who look. Raises UserError where one of them gives back another array."""
    for name, index, slot in shown:
        part = plan.parts[index]
        assert isinstance(part, Look)
        if plan.leaves[index](name.removeprefix(part.prefix), kept[slot]) is not kept[slot]:
            raise UserError(
                f"{type(plan.leaves[index]).__name__} changes {name}, and only an Edit can be compiled",
                "take --engine numpy",
            )
    if stopped:
        raise Enough
