"""Ways to look at one pass: until nobody looks any further, at one position's stream, with the taps of `forward`."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.trace import LayerTrace, layer_traces
from llminspect.core.tap import Capture, Chain, Enough, Until
from llminspect.core.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache
    from llminspect.core.tap import Tap
    from llminspect.core.trace import TraceStep
    from llminspect.model.opened import Model


def run_until(model: Model, ids: Sequence[int], tap: Tap, names: Iterable[str], cache: Cache | None = None) -> None:
    """Run the text until all intermediates `names` have gone through `tap`."""
    with suppress(Enough):
        model.run(ids, Until(tap, *names), cache)


def captured(model: Model, ids: Sequence[int], names: Iterable[str], taps: Sequence[Tap] = ()) -> Capture:
    """The intermediates `names` of a text; `taps` act after what is captured was seen."""
    names = set(names)
    capture = Capture(*names)
    run_until(model, ids, Chain([capture, *taps]), names)
    return capture


class PositionRows:
    """A tap that keeps one position's row of the residual stream and of what each step adds to it: [D] each; with
    `heads` of what each head read as well, [H, E]."""

    def __init__(self, layers: int, position: int, *, heads: bool = False) -> None:
        parts = (
            "input middle output attention.output attention.unnormed cross_attention.output feedforward.output".split()
        )
        parts += ["attention.mixed"] if heads else []
        self._names = {"embedding.output", *(f"layers.{layer}.{part}" for layer in range(layers) for part in parts)}
        self.patterns = tuple(sorted(self._names))
        self.position = position
        self.rows: dict[str, Array] = {}
        self.moments: dict[str, float] = {}

    def wants(self, name: str) -> bool:
        return name in self._names

    def __call__(self, name: str, array: Array) -> Array:
        if self.wants(name):
            self.rows[name] = array[..., self.position, :].copy()
            self.moments[name] = time.perf_counter()
        return array


FEED_FORWARD = ("feedforward.*", "middle", "input")
ROUTES = "layers.*.feedforward.router.weights"


@dataclass(frozen=True)
class WatchedPass:
    """A finished pass and what was seen of it."""

    logits_V: Array | None
    """Of the position; None for a model that gives vectors only."""
    stream_TD: Array
    """The residual stream after the last layer."""
    rows: dict[str, Array]
    """The residual stream and what was added to it, at the position."""
    capture: Capture
    layers: list[LayerTrace]
    before: list[TraceStep]
    after: list[TraceStep]


def watch_pass(
    model: Model,
    ids: Sequence[int],
    position: int,
    *,
    opened: Sequence[int] = (),
    trace: bool = False,
    steps: bool = False,
    heads: bool = False,
    grid: bool = False,
    taps: Sequence[Tap] = (),
) -> WatchedPass:
    """Run the text once. `taps` are the caller's and act first: what is seen is what they left.

    Kept are the rows of one position, and whole arrays of the feed-forward steps of the `opened` layers (else of the
    last); with `steps` of all steps, with `grid` of every layer's stream. Every step of the `opened` layers is measured
    (with `trace` of all).
    """
    layers = model.config.sizes.L
    patterns = ["final.*", ROUTES]
    patterns += [f"layers.{layer}.{part}" for layer in opened or [layers - 1] for part in FEED_FORWARD]
    patterns += [f"layers.{layer}.output" for layer in range(layers)] if grid else []
    capture, rows = Capture(*(["*"] if steps else patterns), optional=True), PositionRows(layers, position, heads=heads)
    measured = Trace("*") if trace else Trace(*(f"layers.{layer}.*" for layer in opened))
    tap = Chain([*taps, measured, rows, capture])
    stream_TD = model.run(ids, tap).stream_TD
    has_logits = model.can("generate") or model.can("fill")
    logits_V = model.logits(stream_TD[position : position + 1], tap)[0] if has_logits else None
    by_layer: dict[int, list[TraceStep]] = {}
    before: list[TraceStep] = []
    after: list[TraceStep] = []
    for step in measured.steps:
        stack, _, rest = step.name.partition(".")
        if stack == "layers":
            by_layer.setdefault(int(rest.split(".")[0]), []).append(step)
        else:
            (after if stack == "final" else before).append(step)
    traces = layer_traces(layers, rows.rows, rows.moments, by_layer)
    return WatchedPass(logits_V, stream_TD, rows.rows, capture, traces, before, after)


def full_arrays(model: Model, ids: Sequence[int], taps: Sequence[Tap] = ()) -> dict[str, Array]:
    """What `--save F.npz` holds: `logits` [T, V] (of a model that has them), `ids` [T], and `hidden` [L+1, T, D], the
    residual stream after the embedding and after each layer."""
    names = ["layers.0.input", *(f"layers.{layer}.output" for layer in range(model.config.sizes.L))]
    capture = Capture(*names)
    stream_TD = model.run(ids, Chain([*taps, capture])).stream_TD
    has_logits = model.can("generate") or model.can("fill")
    logits = {"logits": model.logits(stream_TD)} if has_logits else {}
    return {**logits, "ids": np.asarray(ids), "hidden": np.stack([capture[name] for name in names])}
