"""The scans against sums that are written out, one number at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llminspect.core.recurrence import Recurrence, convolution_weights, convolve, effective_weights, scan

M, T, N, W, U = 2, 5, 3, 4, 3
KINDS = (False, False), (True, False), (False, True)
HALVES = slice(0, 2), slice(2, T)


def drawn(seed: int, delta: bool, removes: bool = False) -> Recurrence:
    rng = np.random.default_rng(seed)
    return Recurrence(
        rng.normal(size=(M, T, N)),
        rng.normal(size=(M, T, N)),
        rng.normal(size=(M, T, W)),
        rng.uniform(0.2, 1, size=(M, T, N)),
        rng.uniform(0, 1, size=(M, T)) if delta else None,
        rng.normal(size=(M, T, N)) if removes else None,
        rng.uniform(0, 1, size=(M, T, N)) if removes else None,
        None if delta or removes else rng.normal(size=M),
    )


def slowly(steps: Recurrence) -> np.ndarray:
    """What each token reads, by loops alone."""
    read = np.zeros((M, T, W))
    for m in range(M):
        state = [[0.0] * W for _ in range(N)]
        for t in range(T):
            taken = np.zeros(W)
            if steps.removal_JTN is not None:
                taken = np.array([sum(steps.removal_JTN[m, t, n] * state[n][w] for n in range(N)) for w in range(W)])
            for n in range(N):
                for w in range(W):
                    state[n][w] *= steps.decay_JTN[m, t, n]
                    if steps.removal_JTN is not None and steps.rates_JTN is not None:
                        state[n][w] -= steps.rates_JTN[m, t, n] * steps.removal_JTN[m, t, n] * taken[w]
            held = [sum(steps.key_JTN[m, t, n] * state[n][w] for n in range(N)) for w in range(W)]
            for w in range(W):
                value = steps.value_JTW[m, t, w]
                written = value if steps.rate_JT is None else steps.rate_JT[m, t] * (value - held[w])
                for n in range(N):
                    state[n][w] += steps.key_JTN[m, t, n] * written
                read[m, t, w] = sum(steps.query_JTN[m, t, n] * state[n][w] for n in range(N))
                read[m, t, w] += 0 if steps.skip_J is None else steps.skip_J[m] * value
    return read


@pytest.mark.parametrize(("delta", "removes"), KINDS)
def test_a_scan_is_the_sum_that_is_written_out(delta: bool, removes: bool) -> None:
    steps = drawn(1, delta, removes)
    expected, (read, state) = slowly(steps), scan(steps)
    np.testing.assert_allclose(read, expected, atol=1e-12)
    cut: Any = {name: array for name, array in vars(steps).items() if array is not None and name != "skip_J"}
    first, second = (replace(steps, **{name: array[:, half] for name, array in cut.items()}) for half in HALVES)
    before, state_between = scan(first)
    after, state_after = scan(second, state_between)
    np.testing.assert_allclose(np.concatenate([before, after], axis=1), expected, atol=1e-12)
    np.testing.assert_allclose(state_after, state, atol=1e-12)


@pytest.mark.parametrize(("delta", "removes"), KINDS)
def test_effective_weights_give_the_sum_and_see_nothing_ahead(delta: bool, removes: bool) -> None:
    steps = drawn(2, delta, removes)
    weights = effective_weights(steps)
    np.testing.assert_allclose(weights @ steps.value_JTW, slowly(steps), atol=1e-12)
    assert not np.triu(weights, 1).any()
    batch = replace(steps, value_JTW=np.stack([steps.value_JTW, steps.value_JTW * 2]))
    np.testing.assert_allclose(scan(batch)[0][1], 2 * slowly(steps), atol=1e-12)


def test_a_convolution_is_the_sum_that_is_written_out() -> None:
    rng = np.random.default_rng(3)
    x_TC, kernel_CU, bias_C = rng.normal(size=(T, M)), rng.normal(size=(M, U)), rng.normal(size=M)
    expected = np.array(
        [
            [sum(x_TC[t - u, c] * kernel_CU[c, U - 1 - u] for u in range(min(U, t + 1))) for c in range(M)]
            for t in range(T)
        ]
    )
    found, kept = convolve(x_TC, kernel_CU, bias_C, None)
    np.testing.assert_allclose(found, expected + bias_C)
    np.testing.assert_array_equal(kept, x_TC[-(U - 1) :])
    before, kept = convolve(x_TC[:1], kernel_CU, None, None)
    after, _ = convolve(x_TC[1:], kernel_CU, None, kept)
    np.testing.assert_allclose(np.concatenate([before, after]), expected)
    query, key = rng.normal(size=(M, T)), rng.normal(size=(M, T))
    weights = convolution_weights(query, key, kernel_CU)
    gated, _ = convolve(key.T * x_TC, kernel_CU, None, None)
    np.testing.assert_allclose(np.einsum("mts,sm->tm", weights, x_TC), query.T * gated)
