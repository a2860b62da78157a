"""The tap: every named intermediate of a forward pass goes through one function.

`tap(name, array)` gives back the array to go on with. The plain pass gives it back unchanged; capturing, ablating,
patching, steering and timing are all taps, and nothing else in the core knows about them. Names read as a path:
`layers.3.attention.weights`, `final.logits` (docs/shapes.md lists them all).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from llminspect.core.array import Array


class Tap(Protocol):
    def __call__(self, name: str, array: Array) -> Array:
        """See, and perhaps replace, the intermediate `name`."""

    def wants(self, name: str) -> bool:
        """Whether `name` is of interest; lets a pass leave out what nobody looks at."""


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern stands for a name: a `*` between two dots for one part of it, else for any characters; a `?`
    for one character, `[0-4]` for one of these.

    >>> matches("layers.3.output", "layers.*.output"), matches("layers.3.attention.output", "layers.*.output")
    (True, False)
    >>> matches("layers.3.attention.output", "layers.3.*"), matches("encoder.layers.3.output", "*.output")
    (True, True)
    """
    if name == pattern or not any(sign in pattern for sign in "*?["):
        return name == pattern
    return _rule(pattern).fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _rule(pattern: str) -> re.Pattern[str]:
    rule = ""
    for _, choice, other in re.findall(r"((?<=\.)\*(?=\.))|(\[!?\w+(?:-\w+)?\])|(.)", pattern):
        if other:
            rule += {"*": ".*", "?": "."}.get(other, re.escape(other))
        else:
            rule += choice.replace("[!", "[^") if choice else "[^.]+"
    try:
        return re.compile(rule)
    except re.error:  # A choice from z to a.
        return re.compile(re.escape(pattern))


class NoTap:
    """Nobody looks: every array goes on unchanged."""

    def __call__(self, name: str, array: Array) -> Array:
        return array

    def wants(self, name: str) -> bool:
        return False


NO_TAP = NoTap()


class Visit:
    """Call `look(name, array)` for each array whose name matches one of the patterns, and keep nothing.

    For measures of a pass too large to keep. A pattern that a whole pass never reaches is an error (`Model.run` raises
    UserError), unless the patterns are `optional`: steps that only some families have.

    >>> import llminspect
    >>> from llminspect import Visit
    >>> model = llminspect.open_model("toy-attention")
    >>> _ = model.run([0, 1, 2], Visit(lambda name, array: print(name, array.shape), "layers.*.attention.weights"))
    layers.0.attention.weights (1, 3, 3)
    """

    def __init__(self, look: Callable[[str, Array], object], *patterns: str, optional: bool = False) -> None:
        self.look, self.patterns = look, patterns
        self.names: set[str] = set()
        """Those that went by and matched."""
        self._missing = () if optional else patterns

    def wants(self, name: str) -> bool:
        return any(matches(name, pattern) for pattern in self.patterns)

    def __call__(self, name: str, array: Array) -> Array:
        if self.wants(name):
            self.names.add(name)
            self.look(name, array)
        return array

    def unreached(self, later: str | None = None) -> list[str]:
        """The patterns that no name has matched so far, less those that start with what comes `later`."""
        if self._missing:
            self._missing = tuple(pattern for pattern in self._missing if not self._reached(pattern))
        return [pattern for pattern in self._missing if later is None or not pattern.startswith(later)]

    def _reached(self, pattern: str) -> bool:
        return pattern in self.names or any(matches(name, pattern) for name in self.names)


class Capture(Visit):
    """Keep the arrays whose names match one of the patterns (`layers.*.attention.weights`), and only those.

    What is kept is the array itself, not a copy: the core changes no array after it went through a tap. `arrays` holds
    them by their names, with the shapes of docs/shapes.md. A pattern that a whole pass never reaches is an error, as
    with `Visit`.

    >>> import llminspect
    >>> model, kept = llminspect.open_model("toy-attention"), llminspect.Capture("layers.0.attention.*")
    >>> _ = model.run([0, 1, 2], kept)
    >>> kept["layers.0.attention.weights"].shape
    (1, 3, 3)
    >>> list(kept.arrays)[:2]
    ['layers.0.attention.query', 'layers.0.attention.key']
    """

    def __init__(self, *patterns: str, optional: bool = False) -> None:
        self.arrays: dict[str, Array] = {}
        super().__init__(self.arrays.__setitem__, *patterns, optional=optional)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]


class Enough(Exception):
    """A tap has seen all that it wants: the rest of the pass is not needed."""


class Until:
    """Hand everything to `tap` and end the pass, by raising Enough, once the arrays of all `names` went by."""

    def __init__(self, tap: Tap, *names: str) -> None:
        self.tap, self.wants, self.left = tap, tap.wants, set(names)

    def __call__(self, name: str, array: Array) -> Array:
        array = self.tap(name, array)
        self.left.discard(name)
        if not self.left:
            raise Enough
        return array

    def unreached(self, later: str | None = None) -> list[str]:
        return unreached(self.tap, later)


class Edit:
    """Replace a named array, or each that a pattern names, by `change(array, *operands)`: ablating, patching, steering.

    `change` is a pure function of arrays in their own namespace. What varies from run to run is an operand, so that
    code which is compiled for a change is compiled once; equal changes are told by `==`. A name that a whole pass never
    reaches is an error (`Model.run` raises UserError): the edit would have changed nothing.

    >>> import llminspect
    >>> model = llminspect.open_model("toy")
    >>> twice = llminspect.Edit("layers.0.output", lambda array, factor: array * factor, 2.0)
    >>> model.run([1], twice).stream_TD
    array([[4. , 5.4]], dtype=float32)
    """

    def __init__(self, name: str, change: Callable[..., Array], *operands: Any) -> None:
        self.name, self.change, self.operands = name, change, operands
        self.acted = False
        """Whether a pass has reached it."""

    def wants(self, name: str) -> bool:
        return matches(name, self.name)

    def __call__(self, name: str, array: Array) -> Array:
        if not self.wants(name):
            return array
        self.acted = True
        return self.change(array, *self.operands)

    def unreached(self, later: str | None = None) -> list[str]:
        return [] if self.acted else [self.name]


class Quiet:
    """The tap of one pass of several: what this one does not reach, another may, and whoever made it sees to that."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap

    def wants(self, name: str) -> bool:
        return self.tap.wants(name)

    def __call__(self, name: str, array: Array) -> Array:
        return self.tap(name, array)


class Under:
    """One stack of several as if it stood alone: `tap` sees the names that start with `prefix`, without it."""

    def __init__(self, prefix: str, tap: Tap) -> None:
        self.prefix, self.tap = prefix, tap

    def wants(self, name: str) -> bool:
        return name.startswith(self.prefix) and self.tap.wants(name.removeprefix(self.prefix))

    def __call__(self, name: str, array: Array) -> Array:
        return self.tap(name.removeprefix(self.prefix), array) if name.startswith(self.prefix) else array

    def unreached(self, later: str | None = None) -> list[str]:
        return [self.prefix + name for name in unreached(self.tap)]


class Chain:
    """Several taps, one after the other: a later one sees what an earlier one made.

    What one of them waits for and no pass reaches is an error, as with each alone (`Model.run` raises UserError).

    >>> import llminspect
    >>> model, before, after = llminspect.open_model("toy"), *(llminspect.Capture("layers.0.output") for _ in "ba")
    >>> zero = llminspect.Edit("layers.0.output", lambda array: array * 0)
    >>> _ = model.run([1], llminspect.Chain([before, zero, after]))
    >>> before["layers.0.output"], after["layers.0.output"]
    (array([[2. , 2.7]], dtype=float32), array([[0., 0.]], dtype=float32))
    """

    def __init__(self, taps: Sequence[Tap]) -> None:
        self.taps = tuple(taps)

    def wants(self, name: str) -> bool:
        return any(tap.wants(name) for tap in self.taps)

    def rows_wanted(self, name: str) -> frozenset[int] | None:
        """The rows of an array that its taps only look at, and at no others; None for all of them."""
        each = [rows_wanted(tap, name) for tap in self.taps]
        return None if None in each else frozenset().union(*(rows for rows in each if rows))

    def see_row(self, name: str, row: int, array: Array) -> None:
        """Show each tap one row of an array, [..., width], that wants it."""
        for tap in self.taps:
            see_row(tap, name, row, array)

    def __call__(self, name: str, array: Array) -> Array:
        for tap in self.taps:
            array = tap(name, array)
        return array

    def unreached(self, later: str | None = None) -> list[str]:
        return [name for tap in self.taps for name in unreached(tap, later)]


def unreached(tap: Tap, later: str | None = None) -> list[str]:
    """The names and patterns in a tap that no pass has reached so far; of a tap that does not say so, none.

    Who only looks may wait for names that start with `later`. An edit may not: nothing would show that it never acted.
    """
    of_tap = getattr(tap, "unreached", None)
    return [] if of_tap is None else of_tap(later)


def rows_wanted(tap: Tap, name: str) -> frozenset[int] | None:
    """The rows of an array that a tap only looks at, and at no others; None for all of them.

    Of a tap that can do with rows: it has `rows_wanted(name)` and is shown each by `see_row(name, row, array)`.
    """
    if not tap.wants(name):
        return frozenset()
    of_tap = getattr(tap, "rows_wanted", None)
    return None if of_tap is None else of_tap(name)


def see_row(tap: Tap, name: str, row: int, array: Array) -> None:
    """Show a tap one row of an array, [..., width], if it wants that."""
    if row in (rows_wanted(tap, name) or ()):
        tap.see_row(name, row, array)  # type: ignore[attr-defined]


class OneRow:
    """Nothing but one row goes through, [..., 1, width], and `tap` is shown it."""

    def __init__(self, tap: Tap, row: int) -> None:
        self.tap, self.row, self.wants = tap, row, tap.wants

    def __call__(self, name: str, array: Array) -> Array:
        see_row(self.tap, name, self.row, array[..., 0, :])
        return array
