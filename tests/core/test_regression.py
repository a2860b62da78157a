"""Ridge and logistic regression against scikit-learn's numbers, against the slow obvious way, and in fewer numbers."""

from __future__ import annotations

import numpy as np
import pytest

from llminspect.analysis.over import Sums
from llminspect.core.intervals import Z, of_share, student
from llminspect.core.regression import in_row_space, logistic, ridge, standard_of
from llminspect.errors import UserError
from tests.closeness import assert_close

RECORDED = 1e-5
"""Of numbers that were recorded with 7 decimals from a fit with its own last step."""


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, classes, numbers, and vectors to try; scikit-learn 1.9.1 was given the same."""
    draw = np.random.default_rng(5)
    x, w = draw.normal(size=(60, 7)), draw.normal(size=(7, 3))
    classes = (x @ w + draw.normal(size=(60, 3))).argmax(1)
    held = draw.normal(size=(4, 7))
    return x, classes, x @ w[:, 0] + draw.normal(size=60), held


def test_as_scikit_learn() -> None:
    x, classes, numbers, held = drawn()
    scores = logistic(x, np.eye(3)[classes], 0.5)(held)  # LogisticRegression(C=2)
    assert_close(
        scores - scores.mean(axis=1, keepdims=True),
        [
            [1.2080217, -4.137717, 2.9296953],
            [-1.3656816, -0.0595953, 1.4252769],
            [4.550977, -5.3242517, 0.7732747],
            [0.3571006, -3.4864928, 3.1293922],
        ],
        RECORDED,
    )
    # Of two classes scikit-learn has one column of weights, w; here they are w / 2 and −w / 2: half the penalty.
    two = logistic(x, np.eye(2)[(classes == 0).astype(int)], 0.5)(held)  # LogisticRegression(C=4)
    assert_close(two[:, 1] - two[:, 0], [-0.6989976, -2.9582072, 5.4468946, -1.6534916], RECORDED)
    found = ridge(x, numbers[:, None], 0.5)(held)[:, 0]  # Ridge(alpha=0.5)
    assert_close(found, [2.4973796, 0.3509984, 6.611002, 0.4480067], RECORDED)


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_is_where_going_downhill_ends(classes: int) -> None:
    draw = np.random.default_rng(classes)
    x, y = draw.normal(size=(30, 5)), draw.integers(0, classes, 30)
    chosen, weight, bias = np.eye(classes)[y], np.zeros((5, classes)), np.zeros(classes)
    for _ in range(20_000):
        exp = np.exp(x @ weight + bias)
        wrong = exp / exp.sum(axis=1, keepdims=True) - chosen
        weight -= 0.02 * (x.T @ wrong + 0.7 * weight)
        bias -= 0.02 * wrong.sum(axis=0)
    fit = logistic(x, chosen, 0.7)
    assert fit.converged
    assert_close(fit.weight_DK, weight, 1e-6)
    assert_close(fit.bias_K - fit.bias_K.mean(), bias - bias.mean(), 1e-5)


def test_logistic_comes_to_its_end_where_classes_are_far_apart_and_hardly_any_penalty_holds() -> None:
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(40, 3)), np.arange(40) % 2
    x[:, 0] += 20 * y
    fit = logistic(x, np.eye(2)[y], 1e-6)
    assert fit.converged and (fit(x).argmax(axis=1) == y).all() and np.isfinite(fit.weight_DK).all()


def test_ridge_is_least_squares_of_more_rows() -> None:
    draw = np.random.default_rng(3)
    x, y = draw.normal(size=(12, 5)), draw.normal(size=(12, 2))
    rows = np.vstack([np.hstack([x, np.ones((12, 1))]), np.hstack([np.sqrt(0.3) * np.eye(5), np.zeros((5, 1))])])
    expected = np.linalg.lstsq(rows, np.vstack([y, np.zeros((5, 2))]), rcond=None)[0]
    fit = ridge(x, y, 0.3)
    assert_close(np.vstack([fit.weight_DK, fit.bias_K]), expected, 1e-10)


def test_in_fewer_numbers_it_is_the_same_fit() -> None:
    draw = np.random.default_rng(4)
    x, y, held = draw.normal(size=(9, 40)), np.eye(3)[np.arange(9) % 3], draw.normal(size=(6, 40))
    reduced, basis = in_row_space(x)
    assert basis is not None and reduced.shape == (9, 9)
    assert_close(ridge(reduced, y, 0.2)(held @ basis), ridge(x, y, 0.2)(held), 1e-8)
    assert_close(logistic(reduced, y, 0.2)(held @ basis), logistic(x, y, 0.2)(held), 1e-4)
    assert in_row_space(x.T)[1] is None


def test_a_number_that_varies_by_rounding_alone_says_nothing() -> None:
    x = np.random.default_rng(6).normal(size=(10, 3))
    x[:, 1] = 1e4 + 1e-3 * x[:, 1]
    found = standard_of(x)(x)
    assert not found[:, 1].any()
    assert_close(found.std(axis=0) * np.sqrt(3), [1, 0, 1], 1e-12)


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (3, 10), (990, 1000)])
def test_the_interval_of_a_share_ends_where_the_share_is_that_unlikely(right: int, count: int) -> None:
    """Wilson's: the ends are the p with |share − p| = z √(p (1 − p) / n)."""
    share, ends = right / count, of_share(right, count)
    for end in ends:
        assert abs(abs(share - end) - Z * np.sqrt(end * (1 - end) / count)) < 1e-9
    assert ends[0] <= share <= ends[1]


@pytest.mark.parametrize("freedom", [1, 2, 5, 20, 21, 40, 400])
def test_so_much_of_students_distribution_lies_between(freedom: int) -> None:
    """Its density is proportional to (1 + x² / ν)^(−(ν + 1) / 2); with x = √ν tan a that is cos(a)^(ν − 1)."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 2_000_001)
    density = np.cos(angles) ** (freedom - 1)
    inside = np.abs(angles) <= np.arctan(student(freedom) / np.sqrt(freedom))
    assert density[inside].sum() / density.sum() == pytest.approx(0.95, abs=1e-5)


def test_sums_are_those_of_numpy_where_numbers_lack() -> None:
    draw, sums = np.random.default_rng(0), Sums()
    values = draw.normal(1e4, 1, (50, 3))
    values[draw.random((50, 3)) < 0.2] = np.nan
    values[:, 2] = np.nan
    for row in values:
        sums.add({("m", place, None, None): float(value) for place, value in enumerate(row)})
    first, second, none = sums.found()
    for at, column in ((first, values[:, 0]), (second, values[:, 1])):
        there = column[np.isfinite(column)]
        assert at.count == len(there)
        assert_close([at.mean, at.std], [there.mean(), there.std(ddof=1)], 1e-12)
    assert none.count == 0 and np.isnan([none.mean, none.std, none.low]).all()
    with pytest.raises(UserError, match="other places"):
        sums.add({("m", 7, None, None): 1.0})
