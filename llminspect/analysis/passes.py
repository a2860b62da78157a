"""Ways to look at one pass: until nobody looks any further, or at what one position's stream is made of."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from llminspect.core.array import Array
from llminspect.core.tap import Capture, Chain, Enough, Tap, Until
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.core.cache import Cache
    from llminspect.model.config import Config


def run_until(model: Model, ids: Sequence[int], tap: Tap, names: Iterable[str], cache: Cache | None = None) -> None:
    """Run the text until all intermediates `names` have gone through `tap`."""
    with suppress(Enough):
        model.run(ids, Until(tap, *names), cache)


def head_reads(model: Model, layer: int) -> str:
    """The name of what the head would read after a layer: its stream, or what is made of several."""
    return f"layers.{layer}.{'output' if model.config.streams == 1 else 'combined'}"


def streams_shown(config: Config) -> list[str]:
    """What is to be said of a model with several residual streams."""
    if config.streams == 1:
        return []
    return [
        f"{config.streams} residual streams side by side: stream {config.active}, which the layers work on, "
        "is the one shown; --lens reads all of them, as the head does"
    ]


def captured(model: Model, ids: Sequence[int], names: Iterable[str], taps: Sequence[Tap] = ()) -> Capture:
    """The intermediates `names` of a text; `taps` act after what is captured was seen."""
    names = set(names)
    capture = Capture(*names)
    run_until(model, ids, Chain([capture, *taps]), names)
    return capture


class PositionRows:
    """A tap that keeps one position's row of the residual stream and of what each step adds to it: [D] each; with
    `heads` of what each head read as well, [H, E], and of whatever else is named."""

    def __init__(self, layers: int, position: int, *, heads: bool = False, also: Iterable[str] = ()) -> None:
        parts = (
            "input middle output attention.output attention.unnormed cross_attention.output feedforward.output".split()
        )
        parts += ["state.output", "combined"]
        parts += ["attention.mixed", "attention.gated"] if heads else []
        self._names = {
            "embedding.output",
            *(f"layers.{layer}.{part}" for layer in range(layers) for part in parts),
            *also,
        }
        self.wants = self._names.__contains__
        self.patterns = tuple(sorted(self._names))
        self.position = position
        self.rows: dict[str, Array] = {}
        self.moments: dict[str, float] = {}

    def rows_wanted(self, name: str) -> frozenset[int]:
        return frozenset([self.position] if name in self._names else [])

    def see_row(self, name: str, row: int, array: Array) -> None:
        self.rows[name], self.moments[name] = array.copy(), time.perf_counter()

    def __call__(self, name: str, array: Array) -> Array:
        if name in self._names:
            self.see_row(name, self.position, array[..., self.position, :])
        return array
