"""Mixture of experts: each token is sent to a few of many feed-forward networks (Shazeer et al. 2017, section 2).

A router gives each token a score for each expert; the best few work on it, and their results are added by weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.array import linear, namespace
from llminspect.core.attention import softmax
from llminspect.core.feedforward import gated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.core.feedforward import GatedUnit
    from llminspect.core.tap import Tap


def route(scores_TX: Array, chosen: int, *, among_chosen: bool) -> Array:
    """How much each expert's result counts for each token, [..., T, X]: 0 for all but the `chosen` best.

    The weights are a softmax over the chosen alone (`among_chosen`: they sum to 1), or over all experts.
    """
    xp = namespace(scores_TX)
    order_TX = xp.argsort(-scores_TX, axis=-1, stable=True)
    rank_TX = xp.argsort(order_TX, axis=-1, stable=True)
    if among_chosen:
        return softmax(xp.where(rank_TX < chosen, scores_TX, xp.full_like(scores_TX, float("-inf"))))
    weights_TX: Array = xp.where(rank_TX < chosen, softmax(scores_TX), xp.zeros_like(scores_TX))
    return weights_TX


def mixture(
    x_TD: Array, layer: Mapping[str, Array], *, chosen: int, among_chosen: bool, unit: GatedUnit, tap: Tap, name: str
) -> Array:
    """The weighted sum of the chosen experts' results, [..., T, D].

    `layer` holds router.weight [X, D], experts.gate.weight and .up.weight [X, F, D], experts.down.weight [X, D, F], and
    perhaps the bias of each. Taps: `name`.router.scores and .router.weights [..., T, X]; for each expert that any token
    chose `name`.experts.{x}.gate, .up, .activation, .output, with one row for each such token.
    """
    scores_TX = tap(f"{name}.router.scores", linear(x_TD, layer["router.weight"], layer.get("router.bias")))
    weights_TX = tap(f"{name}.router.weights", route(scores_TX, chosen, among_chosen=among_chosen))
    rows_ND = x_TD.reshape(-1, x_TD.shape[-1])
    weights_NX = weights_TX.reshape(-1, weights_TX.shape[-1])
    sum_ND: Array = namespace(x_TD).zeros_like(rows_ND)
    for index in range(weights_NX.shape[-1]):
        expert = {key: stacked[index] for key, stacked in layer.items() if key.startswith("experts.")}
        weight_N1, its_name = weights_NX[:, index : index + 1], f"{name}.experts.{index}"
        if isinstance(sum_ND, np.ndarray):
            rows = np.flatnonzero(weight_N1)
            if len(rows):
                sum_ND[rows] += weight_N1[rows] * _work(expert, rows_ND[rows], unit, tap, its_name)
        else:  # Compiled code has no shapes that depend on numbers: each expert works on every token.
            sum_ND = sum_ND + weight_N1 * _work(expert, rows_ND, unit, tap, its_name)
    return sum_ND.reshape(x_TD.shape)


def _work(expert: Mapping[str, Array], x_ND: Array, unit: GatedUnit, tap: Tap, name: str) -> Array:
    output_ND = gated(x_ND, expert, "experts", unit=unit, tap=tap, name=name)
    return tap(f"{name}.output", output_ND)
