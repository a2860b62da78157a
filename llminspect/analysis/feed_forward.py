"""The feed-forward step of one layer in the numbers of one text: its units of largest |a|, and what f lets through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np

from llminspect.analysis.result import Dims
from llminspect.core.activations import ACTIVATIONS, xielu
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import Glu
from llminspect.core.numbers import largest_first
from llminspect.core.tap import Capture
from llminspect.model.config import Config
from llminspect.model.opened import Model

ACTIVE = 6
"""How many hidden units of a feed-forward step are shown: those with the largest |a|."""
BINS = 48
"""Into how many parts the range of h is cut."""
FEW = 32
"""Fewer numbers than this make no histogram."""
NEAR = 6.0
"""How far from 0 f bends: farther out it is nearly h, or nearly 0."""
INSIDE = tuple(f"feedforward.{step}" for step in ("norm", "gate", "hidden", "up", "activation"))
"""What is looked at between the stream and what the step adds to it."""


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
    bent: float | None = None
    """f(h), where the curve of f is drawn."""


@dataclass(frozen=True)
class ActivationCurve:
    """f over the range in which h lies in this text, and what it lets through of h: f(h) / h, between 0 and 1."""

    hidden: Annotated[Array, Dims("P")]
    """Places on the axis of h, closer together near 0 where the axis is long …"""
    bent: Annotated[Array, Dims("P")]
    """… and f there."""
    least: float
    """The least h of all tokens of the text and all hidden units …"""
    most: float
    """… and the greatest; the outermost two thousandths may lie beyond the axis."""
    passed: float
    """Of all the sizes |h| together the share that is left as |f(h)|."""
    counts: Annotated[Array, Dims("B")] | None = None
    """How often h lies in each of as many equal parts of the axis, what is beyond its ends in the outermost; left out
    of fewer than 32 numbers …"""
    passing: Annotated[Array, Dims("B")] | None = None
    """… and the mean there of f(h) / h."""


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward step of one layer at one position, with the hidden units whose |a| is largest."""

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
    curve: ActivationCurve | None = None
    """Of the layers of --layer and of a model that fits on a page, where f is of one number."""


def feed_forward(
    model: Model, rows: Mapping[str, Array], layer: int, capture: Capture | None = None
) -> FeedForward | None:
    """The feed-forward step of `layer` from the rows of one position; None where there is none of a known form.

    `capture`: where all rows of the step were kept, and so its curve can be drawn.
    """
    name = f"layers.{layer}.feedforward"
    gated = f"{name}.gate" in rows
    hidden_name = f"{name}.gate" if gated else f"{name}.hidden"
    if hidden_name not in rows or f"{name}.activation" not in rows:
        return None
    hidden_F, activation_F = rows[hidden_name], rows[f"{name}.activation"]
    cut = model.config.sparsity[layer] if model.config.sparsity else 0
    up_F = rows[f"{name}.up"] if gated else None
    # What the step reads: the norm in front of it, or the stream itself in a family that has none there.
    read = [f"{name}.norm", f"layers.{layer}.middle", f"layers.{layer}.input"]
    input_D = next(rows[part] for part in read if part in rows)
    active = np.array(largest_first(np.abs(activation_F).tolist())[:ACTIVE])
    of_units = (None, None) if cut else _hidden_weights(model, layer, gated, input_D.size, hidden_F.size)
    weight_FD, bias_F = of_units
    f = None if capture is None else activation_of(model, layer, gated)
    bent_F = None if f is None else f(hidden_F)

    def unit(index: int) -> HiddenUnit:
        terms = None
        if weight_FD is not None:
            terms = [(float(w), float(z)) for w, z in zip(weight_FD[index][:3], input_D[:3], strict=True)]
        up, bias, bent = (None if row_F is None else float(row_F[index]) for row_F in (up_F, bias_F, bent_F))
        return HiddenUnit(index, float(hidden_F[index]), up, float(activation_F[index]), terms, bias, bent)

    return FeedForward(
        layer=layer,
        width=int(hidden_F.size),
        function=function_name(model.config, gated),
        gated=gated,
        input=input_D,
        units=[unit(int(index)) for index in active],
        output=rows[f"{name}.output"],
        positive=float(np.mean(hidden_F > 0)),
        cut=cut or None,
        curve=None if f is None or capture is None else activation_curve(f, capture[hidden_name], hidden_F[active]),
    )


def rows_kept(capture: Capture, layer: int, position: int) -> dict[str, Array]:
    """The rows that `feed_forward` is made of, where all rows were kept."""
    names = [f"layers.{layer}.{part}" for part in (*INSIDE, "feedforward.output", "middle", "input")]
    return {name: capture[name][position] for name in names if name in capture.arrays}


def activation_of(model: Model, layer: int, gated: bool) -> Callable[[Array], Array] | None:
    """f of one number, as the model computes it in `layer`; None where both halves of a step are bent together."""
    config = model.config
    if gated:
        return ACTIVATIONS[config.unit.activation] if isinstance(config.unit, Glu) else None
    if config.activation == "none":
        return None
    if config.ungated == "xielu":
        arrays = model.params.layer(layer)
        return lambda h: xielu(h, arrays, "feedforward.curve")
    return ACTIVATIONS[config.ungated]


def activation_curve(f: Callable[[Array], Array], hidden_TF: Array, shown_U: Array) -> ActivationCurve:
    """f where h lies in a text; the axis holds all but two thousandths of the numbers, and those `shown_U`, and 0."""
    hidden_N = hidden_TF.astype(np.float64).ravel()
    bent_N = f(hidden_TF).astype(np.float64).ravel()
    ends = np.quantile(hidden_N, [0.001, 0.999]) if hidden_N.size >= FEW else hidden_N
    low, high = (float(end(np.concatenate([ends, shown_U, [0.0]]))) for end in (np.min, np.max))
    high = high if high > low else low + 1
    axis_P = np.linspace(low, high, 2 * BINS + 1, dtype=hidden_TF.dtype)
    if high - low > 4 * NEAR:
        near_P = np.linspace(max(low, -NEAR), min(high, NEAR), 2 * BINS + 1, dtype=hidden_TF.dtype)
        axis_P = np.union1d(axis_P, near_P)
    whole = float(np.abs(hidden_N).sum()) or 1.0
    counts_B, passing_B = _through(hidden_N, bent_N, low, high) if hidden_N.size >= FEW else (None, None)
    return ActivationCurve(
        hidden=axis_P,
        bent=f(axis_P),
        least=float(hidden_N.min()),
        most=float(hidden_N.max()),
        passed=float(np.abs(bent_N).sum()) / whole,
        counts=counts_B,
        passing=passing_B,
    )


def _through(hidden_N: Array, bent_N: Array, low: float, high: float) -> tuple[Array, Array]:
    """How many numbers lie in each part of the axis, and which share of h is left of them there."""
    part_N = np.clip(((hidden_N - low) / (high - low) * BINS).astype(np.int64), 0, BINS - 1)
    share_N = np.clip(np.divide(bent_N, hidden_N, out=np.zeros_like(bent_N), where=hidden_N != 0), 0, 1)
    counts_B = np.bincount(part_N, minlength=BINS)
    return counts_B, np.bincount(part_N, share_N, BINS) / np.maximum(counts_B, 1)


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
