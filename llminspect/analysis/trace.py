"""The part of `forward` that follows the pass: sizes a layer, steps, the feed-forward step with its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.passes import PositionRows, head_reads
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import Glu
from llminspect.core.tap import Capture, Chain, Tap
from llminspect.core.trace import Trace, TraceStep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llminspect.core.array import Array
    from llminspect.model.config import Config
    from llminspect.model.opened import Model

ACTIVE = 6
"""How many hidden units of a feed-forward step are shown: those that fire most."""
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


@dataclass(frozen=True)
class HiddenUnit:
    """One hidden unit of a feed-forward step."""

    unit: int
    hidden: float
    """h = W z + b; in a gated step the gate's."""
    up: float | None
    """In a gated step what the gate lets through."""
    activation: float
    """a = f(h); in a gated step f(h) · up."""
    terms: list[tuple[float, float]] | None = None
    """The first products of h: weight and input."""
    bias: float | None = None


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward step of one layer at one position, with its most active hidden units."""

    layer: int
    width: int
    function: str
    """Its f: SiLU, GELU, GELU_tanh, ReLU, ReLU², "clamped SwiGLU" (of both halves together), or none."""
    gated: bool
    input: Array
    units: list[HiddenUnit]
    output: Array
    positive: float
    """Share of the hidden units whose h is above 0."""
    cut: float | None = None
    """The share of units that a cutoff is to shut: the mean of W z and so many standard deviations are taken from it,
    and what is then below 0 is 0 (Gemma 3n); None where h is W z + b."""


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


def feed_forward(model: Model, capture: Capture, layer: int, position: int) -> FeedForward | None:
    """The feed-forward step of `layer` from its captured intermediates; None where there is none of a known form."""
    name = f"layers.{layer}.feedforward"
    gated = f"{name}.gate" in capture.arrays
    hidden_name = f"{name}.gate" if gated else f"{name}.hidden"
    if hidden_name not in capture.arrays or f"{name}.activation" not in capture.arrays:
        return None
    hidden_F = capture[hidden_name][position]
    cut = model.config.sparsity[layer] if model.config.sparsity else 0
    activation_F = capture[f"{name}.activation"][position]
    up_F = capture[f"{name}.up"][position] if gated else None
    # What the step reads: the norm in front of it, or the stream itself in a family that has none there.
    read = [f"{name}.norm", f"layers.{layer}.middle", f"layers.{layer}.input"]
    input_D = next(capture[part] for part in read if part in capture.arrays)[position]
    active = np.argsort(-np.abs(activation_F), kind="stable")[:ACTIVE]
    of_units = (None, None) if cut else _hidden_weights(model, layer, gated, input_D.size, hidden_F.size)
    weight_FD, bias_F = of_units

    def unit(index: int) -> HiddenUnit:
        terms = None
        if weight_FD is not None:
            terms = [(float(w), float(z)) for w, z in zip(weight_FD[index][:3], input_D[:3], strict=True)]
        up, bias = (None if row_F is None else float(row_F[index]) for row_F in (up_F, bias_F))
        return HiddenUnit(index, float(hidden_F[index]), up, float(activation_F[index]), terms, bias)

    return FeedForward(
        layer=layer,
        width=int(hidden_F.size),
        function=function_name(model.config, gated),
        gated=gated,
        input=input_D,
        units=[unit(int(index)) for index in active],
        output=capture[f"{name}.output"][position],
        positive=float(np.mean(hidden_F > 0)),
        cut=cut or None,
    )


def _hidden_weights(
    model: Model, layer: int, gated: bool, inputs: int, hidden: int
) -> tuple[Array | None, Array | None]:
    """The matrix [F, D] and bias [F] of h = W z + b, whichever way round the family keeps it."""
    params = model.params.layer(layer)
    for part in ["gate"] if gated else ["up", "hidden", "in"]:
        weight = params.get(f"feedforward.{part}.weight")
        if weight is not None and weight.shape == (hidden, inputs):
            return weight, params.get(f"feedforward.{part}.bias")
    weight = params.get("feedforward.weight")
    if weight is not None and weight.shape == (inputs, hidden):
        return weight.T, params.get("feedforward.bias")
    return None, None


FUNCTIONS = {
    "silu": "SiLU",
    "gelu": "GELU",
    "gelu_tanh": "GELU_tanh",
    "relu": "ReLU",
    "relu_squared": "ReLU²",
    "quick_gelu": "QuickGELU",
    "tanh": "tanh",
    "gelu_10": "GELU±10",
    "mish": "Mish",
    "relu6": "ReLU6",
    "hardswish": "HardSwish",
    "leaky_relu": "LeakyReLU",
    "laplace": "Laplace",
    "sigmoid": "sigmoid",
    "sqrt_softplus": "√softplus",
    "linear": "linear",
    "xielu": "xIELU",
}
"""`core.feedforward.ACTIVATIONS` as papers write them."""


def function_name(config: Config, gated: bool) -> str:
    """Which f makes a = f(h), as the configuration says: SiLU, GELU (GELU_tanh and QuickGELU are near
    to it), ReLU, ReLU², tanh, xIELU or none.

    Of the unit of gpt-oss, which bends and clamps both halves, "clamped SwiGLU".
    """
    if not gated:
        return "none" if config.activation == "none" else FUNCTIONS[config.ungated]
    unit = config.unit
    return FUNCTIONS[unit.activation] if isinstance(unit, Glu) else "clamped SwiGLU"


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
    patterns += [head_reads(model, layer) for layer in range(layers)] if grid else []
    capture, rows = Capture(*(["*"] if steps else patterns), optional=True), PositionRows(layers, position, heads=heads)
    measured = Trace("*") if trace else Trace(*(f"layers.{layer}.*" for layer in opened))
    tap = Chain([*taps, measured, rows, capture])
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
