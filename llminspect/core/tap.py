"""The tap: every named intermediate of a forward pass goes through one function.

`tap(name, array)` gives back the array to go on with. The plain pass gives it back unchanged; capturing, ablating,
patching, steering and timing are all taps, and nothing else in the core knows about them. Names read as a path:
`layers.3.attention.weights`, `final.logits` (docs/shapes.md lists them all).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.core.array import Array


class Tap(Protocol):
    def __call__(self, name: str, array: Array) -> Array:
        """See, and perhaps replace, the intermediate `name`."""
        ...

    def wants(self, name: str) -> bool:
        """Whether `name` is of interest; lets a pass leave out what nobody looks at."""
        ...


class NoTap:
    """Nobody looks: every array goes on unchanged."""

    def __call__(self, name: str, array: Array) -> Array:
        return array

    def wants(self, name: str) -> bool:
        return False


NO_TAP = NoTap()


class Capture:
    """Keep the arrays whose names match one of the patterns (`layers.*.attention.weights`), and only those.

    What is kept is the array itself, not a copy: the core changes no array after it went through a tap.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self.arrays: dict[str, Array] = {}

    def wants(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def __call__(self, name: str, array: Array) -> Array:
        if self.wants(name):
            self.arrays[name] = array
        return array

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]


class Visit:
    """Call `look(name, array)` for each matching array and keep nothing: for measures of a pass too large to keep."""

    def __init__(self, look: Callable[[str, Array], None], *patterns: str) -> None:
        self.look = look
        self.patterns = patterns

    def wants(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def __call__(self, name: str, array: Array) -> Array:
        if self.wants(name):
            self.look(name, array)
        return array


class Enough(Exception):
    """A tap has seen all that it wants: the rest of the pass is not needed."""


class Until:
    """Hand everything to `tap` and end the pass, by raising Enough, once the arrays of all `names` went by."""

    def __init__(self, tap: Tap, *names: str) -> None:
        self.tap = tap
        self.left = set(names)

    def wants(self, name: str) -> bool:
        return self.tap.wants(name)

    def __call__(self, name: str, array: Array) -> Array:
        array = self.tap(name, array)
        self.left.discard(name)
        if not self.left:
            raise Enough
        return array


class Edit:
    """Replace one named array by `change(array, *operands)`: ablating, patching, steering.

    `change` is a pure function of arrays in their own namespace. What varies from run to run is an operand, so that
    code which is compiled for a change is compiled once; equal changes are told by `==`.
    """

    def __init__(self, name: str, change: Callable[..., Array], *operands: Any) -> None:
        self.name = name
        self.change = change
        self.operands = operands

    def wants(self, name: str) -> bool:
        return name == self.name

    def __call__(self, name: str, array: Array) -> Array:
        return self.change(array, *self.operands) if name == self.name else array


class Under:
    """One stack of several as if it stood alone: `tap` sees the names that start with `prefix`, without it."""

    def __init__(self, prefix: str, tap: Tap) -> None:
        self.prefix = prefix
        self.tap = tap

    def wants(self, name: str) -> bool:
        return name.startswith(self.prefix) and self.tap.wants(name.removeprefix(self.prefix))

    def __call__(self, name: str, array: Array) -> Array:
        return self.tap(name.removeprefix(self.prefix), array) if name.startswith(self.prefix) else array


class Chain:
    """Several taps, one after the other: a later one sees what an earlier one made."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        self.taps = tuple(taps)

    def wants(self, name: str) -> bool:
        return any(tap.wants(name) for tap in self.taps)

    def __call__(self, name: str, array: Array) -> Array:
        for tap in self.taps:
            array = tap(name, array)
        return array
