"""Attention some queries at a time is the attention of all at once, and its memory does not grow with T²."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.core import attention
from llminspect.core.mask import Mask, causal_mask, hide
from llminspect.core.tap import NO_TAP, Capture, Edit
from tests.closeness import assert_close

if TYPE_CHECKING:
    from llminspect.core.array import Array

T, BEFORE = 70, 13
S = T + BEFORE
ROUNDED = 1e-5
"""Of a vector's length: some sums of products in float32, in another order."""
CASES = {
    "causal": causal_mask(np, T, S),
    "window": causal_mask(np, T, S, window=20),
    "hidden": hide(causal_mask(np, T, S), np.arange(S) % 7 == 3),
    "both ways": None,
    "both ways, hidden": hide(None, np.arange(S) % 7 == 3),
}


def heads(random: np.random.Generator, *shape: int) -> Array:
    return random.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("together", [1, 1 << 18])
@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("more", [{}, {"cap": 2.0}, {"sink": True}, {"bias": True}], ids=str)
def test_tiles_give_what_the_whole_gives(
    kind: str, more: dict[str, float | bool], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "TILE", 16)
    monkeypatch.setattr(attention, "TILE_SCORES", together)
    random = np.random.default_rng(0)
    query, key, value = heads(random, 6, T, 8), heads(random, 2, S, 8), heads(random, 2, S, 5)
    extra: dict[str, Any] = {
        "cap": more.get("cap"),
        "sink_H": heads(random, 6) if "sink" in more else None,
        "bias_HTS": heads(random, 6, T, S) if "bias" in more else None,
    }
    watching, kept = Capture("a.scores", "a.weights"), Capture("a.weights")
    arguments: dict[str, Any] = {"scale": 0.3, "mask_TS": CASES[kind], "name": "a", **extra}
    whole = attention.attend(query, key, value, tap=watching, **arguments)
    tiled = attention.attend(query, key, value, tap=NO_TAP, **arguments)
    assert_close(tiled, whole, ROUNDED)
    np.testing.assert_allclose(attention.attend(query, key, value, tap=kept, **arguments), tiled, atol=0)
    assert_close(kept["a.weights"], watching["a.weights"], ROUNDED)
    halved = attention.attend(query, key, value, tap=Edit("a.weights", lambda weights: weights / 2), **arguments)
    assert_close(halved, tiled / 2, ROUNDED)
    expected = np.einsum("hts,hse->hte", watching["a.weights"], np.repeat(value, 3, axis=0))
    assert_close(tiled, expected, ROUNDED)


@pytest.mark.parametrize("window", [None, 1, 20])
def test_a_mask_written_out_says_who_sees_whom(window: int | None) -> None:
    mask = causal_mask(np, T, S, window)
    assert mask is not None
    for query in range(T):
        for key in range(S):
            sees = key <= query + BEFORE and (window is None or key > query + BEFORE - window)
            assert (mask.whole_TS[query, key] == 0) == sees
    low, high, hiding = mask.reach(16, 32)
    part = mask.whole_TS[16:32]
    np.testing.assert_array_equal(mask.numbers(16, 32, hiding, high), part[:, hiding:high])
    assert (part[:, low:hiding] == 0).all()
    assert np.isneginf(np.delete(part, np.s_[low:high], axis=1)).all()


def test_a_mask_that_hides_nothing_is_none() -> None:
    assert causal_mask(np, 1, 100) is None
    assert causal_mask(np, 1, 100, window=100) is None
    assert isinstance(causal_mask(np, 1, 100, window=99), Mask)
    assert hide(None, None) is None


def test_memory_grows_with_the_tokens_and_not_with_their_square() -> None:
    def most(tokens: int) -> int:
        query = np.zeros((1, tokens, 4), np.float32)
        mask = causal_mask(np, tokens, tokens)
        tracemalloc.start()
        attention.attend(query, query, query, scale=1.0, mask_TS=mask, tap=NO_TAP, name="a")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert most(4096) < 2.5 * most(2048)
