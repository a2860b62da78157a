"""The feed-forward step: each token's vector alone, through a wider hidden layer and back, or a few of many such.

Mixture of experts (Shazeer et al. 2017, section 2): a router gives each token a score for each expert; the best few
work on it, and their results are added by weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Protocol

import numpy as np

from llminspect.core.activations import ACTIVATIONS as ACTIVATIONS
from llminspect.core.activations import CURVE as CURVE
from llminspect.core.activations import relu, sigmoid
from llminspect.core.activations import silu as silu
from llminspect.core.activations import xielu as xielu
from llminspect.core.array import Array, ByName, concrete, linear, mapped, mapped_each, namespace, overwrite, put
from llminspect.core.dataclass import dataclass
from llminspect.core.norm import rms_norm
from llminspect.core.routing import Router, route
from llminspect.core.tap import Tap


class GatedUnit(Protocol):
    """How a gated feed-forward step joins its two halves; both [..., F]."""

    def __call__(self, gate_TF: Array, up_TF: Array) -> Array: ...


@dataclass(frozen=True)
class Glu:
    """f(gate) ⊙ up (Shazeer 2020, "GLU Variants Improve Transformer", eq. 5)."""

    activation: str
    """Of `ACTIVATIONS`."""

    def __call__(self, gate_TF: Array, up_TF: Array) -> Array:
        return overwrite("multiply", ACTIVATIONS[self.activation](gate_TF), up_TF)


@dataclass(frozen=True)
class ClampedSwiglu:
    """gate σ(α gate) ⊙ (up + 1), the gate at most `limit`, up between ±`limit` (gpt-oss)."""

    alpha: float
    limit: float

    def __call__(self, gate_TF: Array, up_TF: Array) -> Array:
        xp = namespace(gate_TF)
        gate_TF = xp.minimum(gate_TF, xp.full_like(gate_TF, self.limit))
        up_TF = overwrite("add", xp.clip(up_TF, -self.limit, self.limit), 1)
        # gate σ(α gate) = silu(α gate) / α
        bent_TF = overwrite("divide", silu(gate_TF * self.alpha), self.alpha)
        return overwrite("multiply", bent_TF, up_TF)


def kept_best(gate_TF: Array, share: float) -> Array:
    """max(gate − cutoff, 0): what lies above the cutoff below which this `share` of normally distributed numbers lies,
    mean + z · deviation of each token's own (Gemma Team 2025, "Gemma 3n": activation sparsity)."""
    xp = namespace(gate_TF)
    mean_T1 = xp.mean(gate_TF, axis=-1, keepdims=True)
    deviation_T1 = xp.sqrt(xp.mean((gate_TF - mean_T1) ** 2, axis=-1, keepdims=True))
    return relu(gate_TF - (mean_T1 + NormalDist().inv_cdf(share) * deviation_T1))


def gated(
    x_TD: Array, arrays: ByName, part: str, *, unit: GatedUnit, tap: Tap, name: str, sparsity: float = 0.0
) -> Array:
    """unit(x Wgᵀ, x Wuᵀ) Wdᵀ, where the unit is mostly f(gate) ⊙ up (Shazeer 2020, eq. 6), [..., T, D].

    `arrays` holds `part`.gate.weight and .up.weight [F, D], .down.weight [D, F], and perhaps the bias of each. Taps:
    `name`.gate (before f), .up, .activation (the unit's result); `sparsity` is the share of `kept_best`, and
    `name`.gate.projected what that is taken of.
    """
    gate_TF, up_TF = mapped_each(arrays, (f"{part}.gate", f"{part}.up"), x_TD)
    if sparsity:
        gate_TF = kept_best(tap(f"{name}.gate.projected", gate_TF), sparsity)
    gate_TF = tap(f"{name}.gate", gate_TF)
    up_TF = tap(f"{name}.up", up_TF)
    activation_TF = tap(f"{name}.activation", unit(gate_TF, up_TF))
    return mapped(arrays, f"{part}.down", activation_TF)


def plain(x_TD: Array, arrays: ByName, part: str, *, activation: str, tap: Tap, name: str) -> Array:
    """f(x W1ᵀ + b1) W2ᵀ + b2 (Vaswani et al. 2017, eq. 2), [..., T, D]; f is one of `ACTIVATIONS`, or `xielu`.

    `arrays` holds W1, `part`.up.weight [F, D], and W2, .down.weight [D, F], and perhaps the bias of each. Taps:
    `name`.hidden (h = W x + b), .activation (a = f(h)).
    """
    hidden_TF = tap(f"{name}.hidden", mapped(arrays, f"{part}.up", x_TD))
    learned = activation == "xielu"
    bent_TF = xielu(hidden_TF, arrays, f"{part}.curve") if learned else ACTIVATIONS[activation](hidden_TF)
    return mapped(arrays, f"{part}.down", tap(f"{name}.activation", bent_TF))


def mixture(
    x_TD: Array,
    layer: Mapping[str, Array],
    *,
    router: Router,
    unit: GatedUnit,
    tap: Tap,
    name: str,
    epsilon: float = 0.0,
    ungated: str = "gelu",
) -> Array:
    """The weighted sum of the chosen experts' results, and of what an expert gives that all tokens share, [..., T, D].

    `layer` holds router.weight [X, D], experts.gate.weight and .up.weight [X, F, D], experts.down.weight [X, D, F], and
    perhaps the bias of each; experts without a gate have the activation `ungated`. Perhaps router.choice [X], where a
    bias counts in the choice alone, router.gain [X], where the weights of each expert are multiplied by a number of its
    own; shared.gate.weight and so on of a shared expert, and shared.share.weight [1, D] where it counts by the sigmoid
    of x wᵀ; bias [D], added to the sum; routed.narrow.weight [A, D] and routed.wide.weight [D, A], where experts work
    on A numbers (NVIDIA 2025, "Nemotron 3"). Each part may have norms, of `epsilon`: router.norm, routed.norm and
    shared.norm of what router, experts and shared expert read, routed.norm_after and shared.norm_after of what they
    give. Taps: `name`.router.scores and .router.weights [..., T, X]; for each expert that any token chose
    `name`.experts.{x}.gate and .up, or .hidden, .activation, .output, with one row for each such token;
    `name`.shared.gate, .up, .activation, .share, .output; `name`.{part}.norm, and before a norm after it .unnormed.
    """
    parts = _Parts(layer, epsilon, tap, name)
    scores_TX = linear(parts.read("router", x_TD), layer["router.weight"], layer.get("router.bias"))
    weights_TX = route(tap(f"{name}.router.scores", scores_TX), router, layer.get("router.choice"))
    if "router.gain" in layer:
        weights_TX = weights_TX * layer["router.gain"]
    weights_TX = tap(f"{name}.router.weights", weights_TX)
    routed_TD, narrow = parts.read("routed", x_TD), "routed.narrow.weight" in layer
    if narrow:
        routed_TD = tap(f"{name}.routed.narrow", mapped(layer, "routed.narrow", routed_TD))
    rows_ND = routed_TD.reshape(-1, routed_TD.shape[-1])
    weights_NX = weights_TX.reshape(-1, weights_TX.shape[-1])
    sum_ND: Array = namespace(x_TD).zeros_like(rows_ND)
    for index in range(weights_NX.shape[-1]):
        weight_N1, its_name = weights_NX[:, index : index + 1], f"{name}.experts.{index}"
        rows = np.flatnonzero(weight_N1) if concrete(sum_ND) else None
        if rows is not None and not len(rows):
            continue
        expert = {key: stacked[index] for key, stacked in layer.items() if key.startswith("experts.")}
        if rows is not None:
            weight_N1 = weight_N1[rows]
        # Compiled code has no shapes that depend on numbers: there each expert works on every token.
        chosen_ND = rows_ND if rows is None else rows_ND[rows]
        output_ND = _expert("experts", expert, chosen_ND, unit, ungated, tap, its_name)
        added_ND = weight_N1 * tap(f"{its_name}.output", output_ND)
        sum_ND = sum_ND + added_ND if rows is None else _with_rows(sum_ND, rows, added_ND)
    sum_TD = sum_ND.reshape(routed_TD.shape)
    if narrow:
        sum_TD = mapped(layer, "routed.wide", tap(f"{name}.routed.sum", sum_TD))
    sum_TD = parts.given("routed", sum_TD)
    if "bias" in layer:
        sum_TD = sum_TD + layer["bias"]
    if "shared.up.weight" not in layer:
        return sum_TD
    return sum_TD + parts.given(
        "shared", _shared(parts.read("shared", x_TD), layer, unit, ungated, tap, f"{name}.shared")
    )


def _with_rows(sum_ND: Array, rows: Array, added_ND: Array) -> Array:
    """The sum, which nobody else holds, with more in some of its rows."""
    if isinstance(sum_ND, np.ndarray) and isinstance(added_ND, np.ndarray):
        sum_ND[rows] += added_ND
        return sum_ND
    return put(sum_ND, rows, sum_ND[rows] + added_ND)


@dataclass(frozen=True)
class _Parts:
    """The norms of the parts of a mixture, where they have any (Gemma 4)."""

    layer: Mapping[str, Array]
    epsilon: float
    tap: Tap
    name: str

    def read(self, part: str, x_TD: Array) -> Array:
        return self._normed(f"{part}.norm", f"{part}.norm", x_TD)

    def given(self, part: str, y_TD: Array) -> Array:
        if f"{part}.norm_after.weight" in self.layer:
            y_TD = self.tap(f"{self.name}.{part}.unnormed", y_TD)
        return self._normed(f"{part}.norm_after", f"{part}.output", y_TD)

    def _normed(self, norm: str, step: str, x_TD: Array) -> Array:
        weight_D = self.layer.get(f"{norm}.weight")
        return x_TD if weight_D is None else self.tap(f"{self.name}.{step}", rms_norm(x_TD, weight_D, self.epsilon))


def _shared(x_TD: Array, layer: Mapping[str, Array], unit: GatedUnit, ungated: str, tap: Tap, name: str) -> Array:
    """What the expert gives that works on every token."""
    output_TD = _expert("shared", layer, x_TD, unit, ungated, tap, name)
    if "shared.share.weight" in layer:
        output_TD = output_TD * tap(f"{name}.share", sigmoid(linear(x_TD, layer["shared.share.weight"])))
    return output_TD if "shared.norm_after.weight" in layer else tap(f"{name}.output", output_TD)


def _expert(
    part: str, arrays: Mapping[str, Array], x_ND: Array, unit: GatedUnit, ungated: str, tap: Tap, name: str
) -> Array:
    if f"{part}.gate.weight" in arrays:
        return gated(x_ND, arrays, part, unit=unit, tap=tap, name=name)
    return plain(x_ND, arrays, part, activation=ungated, tap=tap, name=name)
