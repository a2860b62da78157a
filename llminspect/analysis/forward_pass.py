"""One pass with the taps that `forward` looks through."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.trace import LayerTrace, layer_traces
from llminspect.core.tap import Capture, Chain
from llminspect.core.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.core.trace import Step
    from llminspect.model.opened import Model


FED = ("feedforward.*", "middle", "input")
ROUTES = "layers.*.feedforward.router.weights"


class PositionRows:
    """A tap that keeps one position's row of the residual stream and of what each step adds to it: [D] each; with
    `heads` of what each head read as well, [H, E]."""

    def __init__(self, layers: int, position: int, *, heads: bool = False) -> None:
        parts = (
            "input middle output attention.output attention.unnormed cross_attention.output feedforward.output".split()
        )
        own = [*parts, *(["attention.mixed"] if heads else [])]
        self._names = {"embedding.output", *(f"layers.{layer}.{part}" for layer in range(layers) for part in own)}
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


@dataclass(frozen=True)
class WatchedPass:
    """A finished pass and what was seen of it."""

    logits_V: Array | None
    """Of the position; None for a model that gives vectors only."""
    rows: dict[str, Array]
    """The residual stream and what was added to it, at the position."""
    capture: Capture
    layers: list[LayerTrace]
    before: list[Step]
    after: list[Step]


def watch_pass(
    model: Model,
    ids: Sequence[int],
    position: int,
    *,
    opened: Sequence[int] = (),
    fed: Sequence[int] = (),
    trace: bool = False,
    everything: bool = False,
    heads: bool = False,
    taps: Sequence[Tap] = (),
) -> WatchedPass:
    """Run the text once; `opened` are the layers of which every step is measured (all with `trace`), `fed` those whose
    feed-forward step is kept.

    `taps` are the caller's and act first: what is seen is what they left. Only what is looked at is kept: the
    rows of one position, and whole arrays of the `fed` layers' feed-forward steps (with `everything`, of all steps).
    """
    patterns = (
        ["*"] if everything else ["final.*", ROUTES, *(f"layers.{layer}.{part}" for layer in fed for part in FED)]
    )
    capture, rows = Capture(*patterns, optional=True), PositionRows(model.config.sizes.L, position, heads=heads)
    measured = Trace("*") if trace else Trace(*(f"layers.{layer}.*" for layer in opened))
    tap = Chain([*taps, measured, rows, capture])
    stream_TD = model.run(ids, tap).stream_TD
    speaks = model.can("generate") or model.can("fill")
    logits_V = model.logits(stream_TD[position : position + 1], tap)[0] if speaks else None
    by_layer: dict[int, list[Step]] = {}
    before: list[Step] = []
    after: list[Step] = []
    for step in measured.steps:
        stack, _, rest = step.name.partition(".")
        if stack == "layers":
            by_layer.setdefault(int(rest.split(".")[0]), []).append(step)
        else:
            (after if stack == "final" else before).append(step)
    layers = layer_traces(model, rows.rows, rows.moments, by_layer)
    return WatchedPass(logits_V, rows.rows, capture, layers, before, after)


def full_arrays(model: Model, ids: Sequence[int], taps: Sequence[Tap] = ()) -> dict[str, Array]:
    """What `--save F.npz` holds: `logits` [T, V] (of a model that has them), `ids` [T], and `hidden` [L+1, T, D], the
    residual stream after the embedding and after each layer."""

    names = ["layers.0.input", *(f"layers.{layer}.output" for layer in range(model.config.sizes.L))]
    capture = Capture(*names)
    stream_TD = model.run(ids, Chain([*taps, capture])).stream_TD
    speaks = model.can("generate") or model.can("fill")
    logits = {"logits": model.logits(stream_TD)} if speaks else {}
    return {**logits, "ids": np.asarray(ids), "hidden": np.stack([capture[name] for name in names])}
