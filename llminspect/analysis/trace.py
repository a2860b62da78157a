"""The part of `forward` that follows the pass: sizes a layer, its steps, the experts that tokens went to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from llminspect.analysis.feed_forward import INSIDE, function_name
from llminspect.analysis.passes import PositionRows, head_reads
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Capture, Chain, Tap
from llminspect.core.trace import Trace, TraceStep
from llminspect.model.opened import Model

FEED_FORWARD = ("feedforward.*", "middle", "input")
ROUTES = "layers.*.feedforward.router.weights"


@dataclass(frozen=True)
class LayerTrace:
    """One layer as seen from one position: how long the vectors are, and with --trace every step of it."""

    layer: int
    norm: float
    """Length of the residual stream as it leaves the layer, at the chosen position."""
    attention_norm: float | None
    """Length of what the attention adds; None where the layer has none."""
    feedforward_norm: float | None
    seconds: float
    steps: list[TraceStep] | None = None
    state_norm: float | None = None
    """Length of what a layer's state adds; left out where it has none."""


def layer_traces(
    layers: int, rows: Mapping[str, Array], moments: Mapping[str, float], steps: Sequence[TraceStep]
) -> list[LayerTrace]:
    """From the residual stream's rows [D] at one position, and when each was seen, to a line a layer."""

    def length(vector: Array | None) -> float | None:
        return None if vector is None else float(np.linalg.norm(vector.astype(np.float64)))

    traces, before = [], moments["embedding.output"]
    for layer in range(layers):
        name = f"layers.{layer}"
        traces.append(
            LayerTrace(
                layer,
                length(rows[f"{name}.output"]) or 0.0,
                length(rows.get(f"{name}.attention.output")),
                length(rows.get(f"{name}.feedforward.output")),
                moments[f"{name}.output"] - before,
                [step for step in steps if step.name.startswith(f"{name}.")] or None,
                length(rows.get(f"{name}.state.output")),
            )
        )
        before = moments[f"{name}.output"]
    return traces


@dataclass(frozen=True)
class Route:
    """An expert that a token was sent to."""

    expert: int
    weight: float
    """How much its result counts."""


@dataclass(frozen=True)
class Routing:
    """Which experts each token went to in one layer."""

    layer: int
    function: str
    """The f of each expert's f(h) · up, or without a gate of f(h)."""
    tokens: list[list[Route]]
    gated: bool = True


def routing(model: Model, capture: Capture) -> list[Routing] | None:
    """For a mixture of experts: the chosen experts of each token, heaviest first; None for other models."""
    found = []
    for layer in range(model.config.sizes.L):
        weights_TX = capture.arrays.get(f"layers.{layer}.feedforward.router.weights")
        if weights_TX is not None:
            order_TX = np.argsort(-weights_TX, kind="stable").tolist()
            rows = zip(order_TX, weights_TX, strict=True)
            tokens = [[Route(x, row_X[x]) for x in order_X if row_X[x] > 0] for order_X, row_X in rows]
            gated = f"layers.{layer}.feedforward.experts.gate.weight" in model.params
            found.append(Routing(layer, function_name(model.config, gated=gated), tokens, gated))
    return found or None


@dataclass(frozen=True)
class WatchedPass:
    """A finished pass and what was seen of it."""

    logits_V: Array | None
    """Of the position; None for a model that gives vectors only."""
    scores: Array | None
    """What its head gives, where it has one for labels or spans."""
    stream_TD: Array
    """The residual stream after the last layer."""
    rows: dict[str, Array]
    """The residual stream, what was added to it, and the last layer's feed-forward step, at the position."""
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

    Kept are the rows of one position, of the last layer those inside its feed-forward step as well, and whole arrays of
    the feed-forward steps of the `opened` layers; with `steps` of all steps, with `grid` of every layer's stream. Every
    step of the `opened` layers is measured (with `trace` of all).
    """
    layers = model.config.sizes.L
    patterns = ["final.*", ROUTES]
    patterns += [f"layers.{layer}.{part}" for layer in opened for part in FEED_FORWARD]
    patterns += [head_reads(model, layer) for layer in range(layers)] if grid else []
    capture = Capture(*(["*"] if steps else patterns), optional=True)
    inside = (f"layers.{layers - 1}.{step}" for step in INSIDE)
    rows = PositionRows(layers, position, heads=heads, also=inside)
    measured = Trace("*") if trace else Trace(*(f"layers.{layer}.*" for layer in opened))
    tap = Chain([*taps, *([measured] if measured.patterns else []), rows, capture])
    stream_TD = model.run(ids, tap).stream_TD
    has_logits = model.can("generate") or model.can("fill")
    logits_V = model.logits(stream_TD[position : position + 1], tap)[0] if has_logits else None
    head = model.architecture.head
    # Beside words the norm that both read is seen once.
    seen = tap if model.architecture.instead else Chain(taps)
    scores = None if head is None else model.label_scores(ids, stream_TD, seen)
    before = [step for step in measured.steps if not step.name.startswith(("layers.", "final."))]
    after = [step for step in measured.steps if step.name.startswith("final.")]
    traces = layer_traces(layers, rows.rows, rows.moments, measured.steps)
    return WatchedPass(logits_V, scores, stream_TD, rows.rows, capture, traces, before, after)
