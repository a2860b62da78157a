"""Each step that a tape knows against finite differences in float64, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core.array import RowsOnDemand, linear, put
from llminspect.core.tape import Tape
from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = 1e-6
OTHER = np.linspace(0.3, 1.7, 12).reshape(3, 4)
ROWS = np.array([[2, 0, 2, 1]])

STEPS: dict[str, Callable[[Any], Any]] = {
    "sums": lambda x: x + OTHER - x[0] * 2 - (-x),
    "products": lambda x: x * OTHER * x[:1] / (x + 3) / 2,
    "a number over it": lambda x: 2 / (x + 3),
    "exp, log": lambda x: np.exp(x) + np.log(x + 3) + np.log1p(x * x) + np.expm1(x),
    "log of a sum": lambda x: np.logaddexp(np.zeros(()), x),
    "roots and powers": lambda x: np.sqrt(x * x + 1) + (x + 3) ** 1.5 + np.square(x),
    "bends": lambda x: np.tanh(x) + np.sin(x) * np.cos(x),
    "the higher": lambda x: np.maximum(x, OTHER - 1) + np.minimum(x, OTHER[0]) + np.abs(x),
    "between": lambda x: np.clip(x, -0.5, 0.5),
    "matrix": lambda x: x @ OTHER.T @ x,
    "matrices": lambda x: x.reshape(3, 2, 2) @ np.ones((2, 5)) @ np.ones((3, 5, 1)),
    "vectors": lambda x: (x @ OTHER[0]) @ OTHER[:, 0] * (OTHER[0] @ x.T),
    "on both sides": lambda x: x.T @ x,
    "means": lambda x: x.mean(axis=-1, keepdims=True) * x.sum(axis=0) + np.mean(x) + x.sum(axis=(0, 1)),
    "the highest": lambda x: x.max(axis=-1, keepdims=True) * x + np.max(x),
    "chosen": lambda x: np.where(OTHER > 1, x * x, x[:, :1]) + np.where(OTHER > 1, OTHER, x),
    "put together": lambda x: np.concat([x * x, OTHER, x[:1]], axis=0),
    "piled up": lambda x: np.stack([x, OTHER, x * 2], axis=-1) * np.arange(3),
    "cut": lambda x: np.concat([part * (at + 1) for at, part in enumerate(np.split(x, [1, 3], axis=-1))], axis=-1),
    "halved": lambda x: np.split(x, 2, axis=-1)[1] * 3,
    "turned": lambda x: np.moveaxis(x[None], 0, 2) * np.swapaxes(x, 0, 1).T[..., None] + np.expand_dims(x, -1),
    "axes": lambda x: np.transpose(x.reshape(3, 2, 2), (2, 0, 1)) * np.arange(4).reshape(2, 1, 2),
    "repeated": lambda x: np.repeat(x, 2, axis=0) * np.arange(24).reshape(6, 4) + np.broadcast_to(x[0], (6, 4)),
    "taken": lambda x: np.take(x, [0, 2, 2], axis=0) * OTHER + x[:, [1, 1, 0, 3]] * x[[0, 0, 1]],
    "taken along": lambda x: np.take_along_axis(x, ROWS, axis=-1) * OTHER,
    "einsum": lambda x: np.einsum("...n,...nw->...w", x, x[..., None] * np.arange(5)),
    "of one more axis": lambda x: np.einsum("...n,...nw->...w", x[None], (x[:1, :, None] * np.arange(5))),
    "written into": lambda x: put(x * x, (slice(1, 2),), x[0]),
    "of other numbers": lambda x: put(np.ones((3, 4)), (slice(0, 2), 1), x[:2, 3]),
    "added in place": lambda x: added(np.ones((3, 4)), x),
    "rows made when used": lambda x: linear(x, RowsOnDemand((3, 4), lambda start, stop: as_float32(start, stop))),
}


def added(array: Any, x: Any) -> Any:
    array += x * x
    return array


def as_float32(start: int, stop: int) -> Any:
    return OTHER[start:stop].astype(np.float32)


@pytest.mark.parametrize("name", STEPS)
def test_each_step_goes_back_as_it_slopes(name: str) -> None:
    random, step = np.random.default_rng(7), STEPS[name]
    x, direction = random.standard_normal((2, 3, 4))
    tape = Tape()
    watched = tape.watch(x)
    made = step(watched)
    weights = random.standard_normal(made.shape)
    np.testing.assert_array_equal(made.value, step(x))
    (slope,) = tape.gradients((made * weights).sum(), [watched])
    above, below = ((step(x + sign * STEP * direction) * weights).sum() for sign in (1, -1))
    expected = (above - below) / (2 * STEP)
    assert abs((slope * direction).sum() - expected) < 1e-7 * (1 + float(np.linalg.norm(slope)))


def test_what_went_in_twice_counts_twice_and_what_did_not_counts_nothing() -> None:
    tape = Tape()
    x, y, unused = (tape.watch(np.array([1.0, 2.0])) for _ in range(3))
    slopes = tape.gradients((x * y + x).sum(), [x, y, unused])
    np.testing.assert_array_equal(slopes, [[2, 3], [1, 2], [0, 0]])


def test_relu_has_no_slope_at_nought_and_an_overflow_none_at_all() -> None:
    tape = Tape()
    x = tape.watch(np.array([-1000.0, 0.0, 2.0], np.float32))
    with np.errstate(over="ignore"):
        slope = tape.gradients((np.maximum(x, np.float32(0)) + x / (np.exp(-x) + 1)).sum(), [x])[0]
    assert slope.dtype == np.float32 and slope[:2].tolist() == [0.0, 0.5] and np.isfinite(slope).all()


def test_what_has_no_known_derivative_is_refused() -> None:
    x = Tape().watch(np.ones(3))
    with pytest.raises(UserError, match=r"numpy\.arctan2"):
        np.arctan2(x, x)
    with pytest.raises(UserError, match=r"numpy\.cumsum"):
        np.cumsum(x)
    with pytest.raises(UserError, match="takes an array's numbers"):
        np.asarray(x)
    with pytest.raises(UserError, match=r"numpy\.add"):
        np.add(x, x, out=np.empty(3))


def test_a_tape_keeps_so_much_and_no_more() -> None:
    x = Tape(most=10_000_000).watch(np.ones(1000))
    with pytest.raises(UserError, match=r"more than 0\.01 GB"):
        for _ in range(1250):
            x = x * x
