"""What a pass did, step by step: the shape of each intermediate, how large its numbers are, how long it took."""

from __future__ import annotations

import time

from llminspect.core.array import Array, namespace
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import matches


@dataclass(frozen=True)
class TraceStep:
    """One named intermediate. Measures leave out what is not finite (the −∞ of a mask)."""

    name: str
    shape: tuple[int, ...]
    norm: float
    """√Σx² over the whole array."""
    mean: float
    min: float
    max: float
    seconds: float
    """From the step before it to this one."""


class Trace:
    """A tap that measures every intermediate whose name matches one of the patterns and keeps none."""

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self.steps: list[TraceStep] = []
        self._since = time.perf_counter()

    def wants(self, name: str) -> bool:
        return any(matches(name, pattern) for pattern in self.patterns)

    def __call__(self, name: str, array: Array) -> Array:
        if self.wants(name):
            seconds = time.perf_counter() - self._since
            self.steps.append(measure(name, array, seconds))
            # The time that measuring takes is not the model's.
            self._since = time.perf_counter()
        return array


def measure(name: str, array: Array, seconds: float) -> TraceStep:
    """The measures of one array; all 0 where nothing in it is finite."""
    xp = namespace(array)
    finite = array[xp.isfinite(array)]
    if not finite.size:
        return TraceStep(name, tuple(array.shape), 0.0, 0.0, 0.0, 0.0, seconds)
    exact = finite.astype("float64")
    return TraceStep(
        name,
        tuple(array.shape),
        float(xp.sqrt(xp.sum(exact * exact))),
        float(xp.mean(exact)),
        float(xp.min(finite)),
        float(xp.max(finite)),
        seconds,
    )
