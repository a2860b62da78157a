"""One probe: fitted to some vectors, judged by those that it has not seen, and what it points along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.intervals import of_share
from llminspect.core.regression import LinearFit, in_row_space, logistic, ridge, standard_of

DRAWS = 1000
"""Samples of the held-out texts, with replacement, for the interval of R²."""


@dataclass(frozen=True)
class Fitted:
    """How a probe is fitted."""

    regression: Literal["logistic", "ridge"]
    penalty: float
    numbers: bool
    """Whether labels are numbers."""

    def __call__(self, x_ND: Array, target_NK: Array) -> LinearFit:
        if self.regression == "logistic":
            return logistic(x_ND, target_NK, self.penalty)
        return ridge(x_ND, target_NK, self.penalty)


@dataclass(frozen=True)
class LayerScores:
    """How well a probe says the labels of texts that it has not seen."""

    low: float
    """The ends of the 95% interval: Wilson's of a share; of R² by drawing the held-out texts anew."""
    high: float
    control: float
    """The same of shuffled labels: the mean over the shuffles …"""
    control_low: float
    """… the lowest, and the highest."""
    control_high: float
    selectivity: float
    """What is found beyond the control."""
    accuracy: float | None = None
    """The share of the held-out texts predicted right."""
    r2: float | None = None
    """Of numbers, in place of it: 1 − Σ (predicted − label)² / Σ (mean − label)², with the mean of the texts learned
    from; below 0 where the mean would be nearer."""
    converged: bool = True
    """Whether each fit came to its end."""

    @property
    def score(self) -> float:
        """The accuracy, or R²."""
        found = self.r2 if self.accuracy is None else self.accuracy
        assert found is not None
        return found


def fit_layer(
    fitted: Fitted, x_ND: Array, target_NK: Array, controls: Sequence[Array], part_N: Array, splits: int
) -> LayerScores:
    """Hold out each of the first `splits` parts in turn: learn from the others, judge by it; with the labels and with
    each of the `controls`."""
    targets = [target_NK, *controls]
    predicted: list[list[Array]] = [[] for _ in targets]
    known: list[list[Array]] = [[] for _ in targets]
    converged = True
    for part in range(splits):
        learned_N, x64_ND = part_N != part, x_ND.astype(np.float64)
        standard = standard_of(x64_ND[learned_N])
        learned_ND, basis_DN = in_row_space(standard(x64_ND[learned_N]))
        held_ND = standard(x64_ND[~learned_N])
        held_ND = held_ND if basis_DN is None else held_ND @ basis_DN
        for index, labels_NK in enumerate(targets):
            mean_K, size = labels_NK[learned_N].mean(axis=0), 1.0
            if fitted.numbers:
                size = float(labels_NK[learned_N].std()) or 1.0
                labels_NK = (labels_NK - mean_K) / size
            probe = fitted(learned_ND, labels_NK[learned_N])
            converged &= probe.converged
            predicted[index].append(probe(held_ND))
            known[index].append(labels_NK[~learned_N])
    pairs = [(np.concatenate(a), np.concatenate(b)) for a, b in zip(predicted, known, strict=True)]
    return _r2_scores(pairs) if fitted.numbers else _accuracies(pairs, converged)


def _accuracies(pairs: Sequence[tuple[Array, Array]], converged: bool) -> LayerScores:
    right = [predicted_NK.argmax(axis=1) == known_NK.argmax(axis=1) for predicted_NK, known_NK in pairs]
    low, high = of_share(int(right[0].sum()), len(right[0]))
    shares = [float(right_N.mean()) for right_N in right]
    control = float(np.mean(shares[1:]))
    return LayerScores(
        low, high, control, min(shares[1:]), max(shares[1:]), shares[0] - control, accuracy=shares[0],
        converged=converged,
    )  # fmt: skip


def _r2_scores(pairs: Sequence[tuple[Array, Array]]) -> LayerScores:
    """Labels are counted from the mean of those learned from, in their standard deviations."""
    wrong, whole = zip(*(((predicted - known)[:, 0] ** 2, known[:, 0] ** 2) for predicted, known in pairs), strict=True)
    found = [1 - float(wrong_N.sum() / whole_N.sum()) for wrong_N, whole_N in zip(wrong, whole, strict=True)]
    draw, count = np.random.default_rng(0), len(wrong[0])
    drawn = []
    for _ in range(DRAWS):
        some = draw.integers(0, count, count)
        drawn.append(1 - wrong[0][some].sum() / max(whole[0][some].sum(), 1e-300))
    low, high = np.quantile(drawn, [0.025, 0.975])
    control = float(np.mean(found[1:]))
    return LayerScores(
        float(low), float(high), control, min(found[1:]), max(found[1:]), found[0] - control, r2=found[0]
    )  # fmt: skip


def direction_of(fitted: Fitted, x_ND: Array, target_NK: Array) -> Array:
    """The directions [K, D] in the stream of a probe that learned from all texts: across what it holds apart, as long
    as the mean of a class lies from that of the others along it; of numbers one standard deviation."""
    x64_ND = x_ND.astype(np.float64)
    standard = standard_of(x64_ND)
    reduced_ND, basis_DN = in_row_space(standard(x64_ND))
    target_NK = (target_NK - target_NK.mean()) / target_NK.std() if fitted.numbers else target_NK
    weight_DK = fitted(reduced_ND, target_NK).weight_DK
    weight_DK = weight_DK if basis_DN is None else basis_DN @ weight_DK
    weight_KD = (weight_DK / standard.scale_D[:, None]).T
    unit_KD = weight_KD / np.maximum(np.linalg.norm(weight_KD, axis=1, keepdims=True), 1e-300)
    along_NK = x64_ND @ unit_KD.T
    if fitted.numbers:
        return as_float32(unit_KD * along_NK.std(axis=0)[:, None])
    apart_K = [along_NK[row == 1, at].mean() - along_NK[row == 0, at].mean() for at, row in enumerate(target_NK.T)]
    return as_float32(unit_KD * np.array(apart_K)[:, None])


def as_float32(array: Array) -> Array:
    """What the model computes in."""
    found: Array = array.astype(np.float32)
    return found
