"""Linear regression on vectors: ridge, and logistic of two or more classes, both with their penalty and their optimum.

Ridge: Hoerl and Kennard 1970. Logistic: softmax with a penalty on the squares of all weights, by Newton's method whose
steps are found by conjugate gradients (Nocedal and Wright, "Numerical Optimization", algorithm 7.1). Both functions are
convex, so that the optimum is one, and the size of the gradient says how near it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass

CONSTANT = 1e-5
"""A number that varies by less than this part of its mean varies by rounding alone."""
STEPS, PRODUCTS, TOLERANCE = 100, 200, 1e-6
"""Newton steps, products with the curvature in each, and the part of the first gradient that may be left."""


@dataclass(frozen=True)
class Standard:
    """How vectors are brought to a common measure: each number less its mean, divided by its standard deviation, and by
    √D: the mean square of the length is then 1, and a penalty means the same whatever the width."""

    mean_D: Array
    scale_D: Array
    """∞ for a number that is the same in all vectors."""

    def __call__(self, x_ND: Array) -> Array:
        return (x_ND - self.mean_D) / self.scale_D


def standard_of(x_ND: Array) -> Standard:
    """That of some vectors.

    >>> standard_of(np.array([[1.0, 5.0], [3.0, 5.0]]))(np.array([[3.0, 5.0]])).round(3).tolist()
    [[0.707, 0.0]]
    """
    mean_D, std_D = x_ND.mean(axis=0, dtype=np.float64), x_ND.std(axis=0, dtype=np.float64)
    varies_D = std_D > CONSTANT * np.abs(mean_D)
    return Standard(mean_D, np.where(varies_D, std_D * np.sqrt(x_ND.shape[1]), np.inf))


@dataclass(frozen=True)
class LinearFit:
    """x W + b: a column a class, or one for numbers."""

    weight_DK: Array
    bias_K: Array
    converged: bool = True

    def __call__(self, x_ND: Array) -> Array:
        return x_ND @ self.weight_DK + self.bias_K


def in_row_space(x_ND: Array) -> tuple[Array, Array | None]:
    """The same vectors with fewer numbers, where there are fewer vectors than numbers, and the basis [D, N]: weights
    under a penalty on their squares are a sum of the vectors, so nothing is lost."""
    if len(x_ND) >= x_ND.shape[1]:
        return x_ND, None
    basis_DN, lower_NN = np.linalg.qr(x_ND.T)
    return lower_NN.T, basis_DN


def ridge(x_ND: Array, y_NK: Array, penalty: float) -> LinearFit:
    """The least Σ (x W + b − y)² + penalty · Σ W²; b is free.

    >>> fit = ridge(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]), 1e-9)
    >>> fit.weight_DK.round(3).tolist(), fit.bias_K.round(3).tolist()
    ([[2.0]], [1.0])
    """
    mean_D, mean_K = x_ND.mean(axis=0), y_NK.mean(axis=0)
    centred_ND = x_ND - mean_D
    square_DD = centred_ND.T @ centred_ND + penalty * np.eye(x_ND.shape[1])
    weight_DK = np.linalg.solve(square_DD, centred_ND.T @ (y_NK - mean_K))
    return LinearFit(weight_DK, mean_K - mean_D @ weight_DK)


def logistic(x_ND: Array, chosen_NK: Array, penalty: float) -> LinearFit:
    """The least −Σ ln softmax(x W + b)[class] + penalty / 2 · Σ W²; b is free. `chosen_NK` has a 1 at each's class.

    >>> x_ND = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    >>> fit = logistic(x_ND, np.eye(2)[[0, 0, 1, 1]], 0.1)
    >>> fit(x_ND).argmax(axis=1).tolist(), fit.converged
    ([0, 0, 1, 1], True)
    """
    ones_ND = np.concatenate([x_ND, np.ones((len(x_ND), 1))], axis=1)
    penalty_D1 = np.full((ones_ND.shape[1], 1), penalty)
    penalty_D1[-1] = 0.0
    weight_DK = np.zeros((ones_ND.shape[1], chosen_NK.shape[1]))
    loss, probs_NK = _loss(ones_ND, chosen_NK, penalty_D1, weight_DK)
    first = None
    for _ in range(STEPS):
        slope_DK = ones_ND.T @ (probs_NK - chosen_NK) + penalty_D1 * weight_DK
        size = float(np.linalg.norm(slope_DK))
        first = size if first is None else first
        if size <= TOLERANCE * first:
            return LinearFit(weight_DK[:-1], weight_DK[-1])
        curvature = _curvature(ones_ND, probs_NK, penalty_D1)
        step_DK = _solved(curvature, -slope_DK, min(0.1, np.sqrt(size / first)) * size)
        along, length = float(np.sum(slope_DK * step_DK)), 1.0
        while True:
            trial_DK = weight_DK + length * step_DK
            trial_loss, trial_NK = _loss(ones_ND, chosen_NK, penalty_D1, trial_DK)
            if trial_loss <= loss + 1e-4 * length * along or length < 1e-8:
                break
            length /= 2
        if trial_loss >= loss:  # Rounding leaves nothing to gain.
            return LinearFit(weight_DK[:-1], weight_DK[-1], size <= 1e-3 * first)
        weight_DK, loss, probs_NK = trial_DK, trial_loss, trial_NK
    return LinearFit(weight_DK[:-1], weight_DK[-1], False)


def _loss(x_ND: Array, chosen_NK: Array, penalty_D1: Array, weight_DK: Array) -> tuple[float, Array]:
    """What is to be least, and the probabilities."""
    scores_NK = x_ND @ weight_DK
    scores_NK = scores_NK - scores_NK.max(axis=1, keepdims=True)
    log_NK = scores_NK - np.log(np.exp(scores_NK).sum(axis=1, keepdims=True))
    return float(-np.sum(chosen_NK * log_NK) + np.sum(penalty_D1 * weight_DK**2) / 2), np.exp(log_NK)


def _curvature(x_ND: Array, probs_NK: Array, penalty_D1: Array) -> Callable[[Array], Array]:
    """The second derivative of the loss, as a product with a step."""

    def product(step_DK: Array) -> Array:
        moved_NK = probs_NK * (x_ND @ step_DK)
        moved_NK = moved_NK - probs_NK * moved_NK.sum(axis=1, keepdims=True)
        found_DK: Array = x_ND.T @ moved_NK + penalty_D1 * step_DK
        return found_DK

    return product


def _solved(product: Callable[[Array], Array], right: Array, left_over: float) -> Array:
    """x with product(x) = right, but for a rest of the length `left_over`: conjugate gradients (Hestenes and Stiefel
    1952)."""
    found = np.zeros_like(right)
    rest, way = right, right
    square = float(np.sum(rest**2))
    for _ in range(PRODUCTS):
        if square <= left_over**2:
            break
        curved = product(way)
        bend = float(np.sum(way * curved))
        if bend <= 0:
            break
        found = found + square / bend * way
        rest = rest - square / bend * curved
        before, square = square, float(np.sum(rest**2))
        way = rest + square / before * way
    return found if found.any() else right
