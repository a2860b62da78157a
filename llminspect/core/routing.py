"""How a router shares the tokens out to experts.

Each token has a score for each expert; the best few work on it, and their results count by weight: a softmax (Shazeer
et al. 2017, "Outrageously Large Neural Networks", section 2), or sigmoids (DeepSeek-AI 2024, "DeepSeek-V3", section
2.1.2), of which a bias that counts in the choice alone and groups of experts decide as well.
"""

from __future__ import annotations

from typing import Literal

from llminspect.core.activations import sigmoid
from llminspect.core.array import Array, namespace
from llminspect.core.attention import softmax
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class Groups:
    """Experts that stand together: first the best groups are found, then the best experts in them."""

    size: int
    """How many experts are in each."""
    chosen: int
    """How many groups are looked at."""
    best: int = 2
    """A group is as good as the sum of so many of its best experts."""


@dataclass(frozen=True)
class Router:
    """How the experts of a token are chosen, and how much each counts."""

    chosen: int
    """How many of them work on a token."""
    among_chosen: bool = True
    """Whether the weights of the chosen sum to 1."""
    kind: Literal["softmax", "sigmoid", "nearest"] = "softmax"
    """What makes a weight of a score; "nearest": a softmax over those near it, one chosen after the other …"""
    near: float | None = None
    """… which are those no further off than this share of the score."""
    by_group: Groups | None = None
    """Groups of experts of which only the best are looked at."""
    factor: float = 1.0
    """What all weights are multiplied by."""
    latent: int | None = None
    """How many numbers the experts read and write, where not those of the stream."""
    added: float | None = None
    """What is added to the sum of the chosen's sigmoids before they are divided by it, where it is not next to nothing
    (1e-20)."""


def route(scores_TX: Array, router: Router, bias_X: Array | None = None) -> Array:
    """How much each expert's result counts for each token, [..., T, X]: 0 for all that were not chosen.

    `bias_X` is added for the choice, and does not count in the weights.
    """
    xp = namespace(scores_TX)
    if router.kind == "nearest":
        weights_TX = _nearest(scores_TX, router)
    else:
        weights_TX = sigmoid(scores_TX) if router.kind == "sigmoid" else softmax(scores_TX)
    # Without a bias the scores themselves are compared: far apart, their softmax is the same nought for many.
    compared_TX = scores_TX if bias_X is None and router.by_group is None else weights_TX
    if bias_X is not None:
        compared_TX = compared_TX + bias_X
    if router.by_group is not None:
        compared_TX = _in_best(compared_TX, router.by_group)
    chosen_TX = _rank(compared_TX) < router.chosen
    if router.among_chosen and router.kind == "softmax":
        weights_TX = softmax(xp.where(chosen_TX, scores_TX, xp.full_like(scores_TX, float("-inf"))))
    else:
        weights_TX = xp.where(chosen_TX, weights_TX, xp.zeros_like(weights_TX))
        if router.among_chosen:
            added = 1e-20 if router.added is None else router.added
            weights_TX = weights_TX / (xp.sum(weights_TX, axis=-1, keepdims=True) + added)
    return weights_TX if router.factor == 1 else weights_TX * router.factor


def _nearest(scores_TX: Array, router: Router) -> Array:
    """Sparse mixing as it is after training (Liu et al. 2024, "GRIN", section 2.2): the best of those that are left
    counts by a softmax over those left that are near it, (best − score) / max(|score|, best) ≤ near; then the next."""
    xp = namespace(scores_TX)
    lost_TX, left_TX = xp.full_like(scores_TX, float("-inf")), scores_TX
    weights_TX: Array = xp.zeros_like(scores_TX)
    for _ in range(router.chosen):
        best_T1 = xp.max(left_TX, axis=-1, keepdims=True)
        far_TX = (best_T1 - scores_TX) > (router.near or 0) * xp.maximum(xp.abs(scores_TX), best_T1)
        taken_TX = _rank(left_TX) == 0
        weights_TX = xp.where(taken_TX, softmax(xp.where(far_TX, lost_TX, left_TX)), weights_TX)
        left_TX = xp.where(taken_TX, lost_TX, left_TX)
    return weights_TX


def _rank(x_TX: Array) -> Array:
    """The place of each along the last axis, from 0 for the largest; of equal ones the first is before the others."""
    xp = namespace(x_TX)
    order_TX = xp.argsort(-x_TX, axis=-1, stable=True)
    return xp.argsort(order_TX, axis=-1, stable=True)


def _in_best(x_TX: Array, groups: Groups) -> Array:
    """The same, and −∞ outside the best groups."""
    xp = namespace(x_TX)
    x_TGX = x_TX.reshape(*x_TX.shape[:-1], -1, groups.size)
    best_TGX = xp.where(_rank(x_TGX) < groups.best, x_TGX, xp.zeros_like(x_TGX))
    lost_TG = _rank(xp.sum(best_TGX, axis=-1)) >= groups.chosen
    return xp.where(lost_TG[..., None], xp.full_like(x_TGX, float("-inf")), x_TGX).reshape(x_TX.shape)
