"""Each measure of attention against a loop that says what it means, on random weights whose rows sum to one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llminspect.core import attention_measures as measures
from llminspect.core import attribution

Rows = list[list[float]]
Case = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], bool, int | None]


@st.composite
def attention(draw: st.DrawFn) -> Case:
    """Weights [T, T], ids [T] with repetitions, whether the future is hidden, and how far back a query then sees."""
    tokens, causal = draw(st.integers(1, 9)), draw(st.booleans())
    window = draw(st.none() | st.integers(1, 9)) if causal else None
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights_TS = np.exp(draw(st.floats(0, 8)) * generator.normal(size=(tokens, tokens)))
    weights_TS = np.tril(weights_TS) if causal else weights_TS
    weights_TS = np.triu(weights_TS, 1 - window) if window else weights_TS
    weights_TS /= weights_TS.sum(axis=1, keepdims=True)
    return weights_TS, generator.integers(0, 3, tokens), causal, window


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def slow(name: str, w: Rows, ids: list[int], causal: bool, window: int | None) -> float:
    size = len(w)

    def may_see(t: int) -> int:
        return sum(1 for s in range(size) if not causal or (s <= t and (window is None or t - s < window)))

    def same_before(t: int) -> list[int]:
        return [s for s in range(1, t) if ids[s] == ids[t]]

    def after_same(t: int) -> list[int]:
        return [s + 1 for s in range(t) if ids[s] == ids[t] and s + 1 < t]

    if name == "entropy":
        return mean(
            [-sum(p * math.log(p) for p in w[t] if p > 0) / math.log(may_see(t)) for t in range(size) if may_see(t) > 1]
        )
    if name == "sink":
        return mean([w[t][0] for t in range(2, size)])
    if name == "previous":
        return mean([w[t][t - 1] for t in range(2, size)])
    if name == "next":
        return math.nan if causal else mean([w[t][t + 1] for t in range(size - 1)])
    if name == "self":
        return mean([w[t][t] for t in range(1, size)])
    if name == "distance":
        return mean([sum(w[t][s] * abs(t - s) for s in range(size)) for t in range(1, size)])
    places = {"same": same_before, "induction": after_same}[name]
    return mean([sum(w[t][s] for s in places(t)) for t in range(size) if places(t)])


@given(attention())
@settings(max_examples=150)
def test_every_measure_is_what_its_definition_says(case: Case) -> None:
    weights_TS, ids_T, causal, window = case
    measured = measures.measure_all(weights_TS, ids_T, causal, window)
    for name, value in measured.items():
        expected = slow(name, weights_TS.tolist(), ids_T.tolist(), causal, window)
        np.testing.assert_allclose(float(value), expected, atol=1e-9, err_msg=name)
    shares = [value for name, value in measured.items() if name != "distance" and np.isfinite(value)]
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares)


def test_all_heads_at_once_are_each_head_alone() -> None:
    generator = np.random.default_rng(0)
    weights_HTS = generator.dirichlet(np.ones(7), size=(4, 7)).astype(np.float32)
    ids_T = generator.integers(0, 3, 7)
    together = measures.measure_all(weights_HTS, ids_T, False)
    for head, weights_TS in enumerate(weights_HTS):
        for name, value in measures.measure_all(weights_TS, ids_T, False).items():
            np.testing.assert_allclose(together[name][head], value, rtol=1e-6)


def one_hot_rows(keys: list[int]) -> np.ndarray[Any, Any]:
    return np.eye(len(keys))[keys]


@pytest.mark.parametrize(
    ("keys", "ids", "name"),
    [
        ([0, 0, 0, 0, 0], [1, 2, 3, 4, 5], "sink"),
        ([0, 0, 1, 2, 3], [1, 2, 3, 4, 5], "previous"),
        ([0, 1, 2, 3, 4], [1, 2, 3, 4, 5], "self"),
        ([0, 1, 2, 1, 2], [9, 1, 2, 1, 2], "same"),
        ([0, 0, 0, 0, 2, 3, 4], [9, 1, 2, 3, 1, 2, 3], "induction"),
    ],
)
def test_heads_are_named_by_what_they_do(keys: list[int], ids: list[int], name: str) -> None:
    measured = measures.measure_all(one_hot_rows(keys), np.array(ids), True)
    assert measures.habit({key: float(value) for key, value in measured.items()}) == name


def test_a_head_that_spreads_is_diffuse_and_one_between_is_mixed() -> None:
    even = measures.measure_all(np.full((6, 6), 1 / 6), np.arange(6), False)
    assert measures.habit({key: float(value) for key, value in even.items()}) == "diffuse"
    two = 0.5 * one_hot_rows([2, 3, 4, 5, 0, 1]) + 0.5 * one_hot_rows([3, 4, 5, 0, 1, 2])
    mixed = measures.measure_all(two, np.arange(6), False)
    assert measures.habit({key: float(value) for key, value in mixed.items()}) == "mixed"


@pytest.mark.parametrize(
    ("measured", "name"),
    [
        ({"previous": 0.5}, "previous"),
        ({"previous": 0.499}, "mixed"),
        ({"sink": 0.52, "entropy": 0.9}, "sink"),
        ({"entropy": 0.75}, "diffuse"),
        ({"entropy": 0.749}, "mixed"),
        ({"self": 0.6, "same": 0.6}, "same"),
        ({"self": 0.6, "same": 0.55, "induction": math.nan}, "self"),
    ],
)
def test_a_habit_takes_at_least_half_of_the_weight(measured: dict[str, float], name: str) -> None:
    nothing = {**dict.fromkeys(measures.HABITS, 0.0), "entropy": 0.2}
    assert measures.habit({**nothing, **measured}) == name


def test_a_sharp_row_has_no_entropy_and_never_a_nan() -> None:
    sharp = measures.measure_all(one_hot_rows([0, 1, 1]).astype(np.float32), np.arange(3), True)
    assert float(sharp["entropy"]) == pytest.approx(0, abs=1e-6)


def test_rollout_is_the_product_of_half_attention_half_identity() -> None:
    generator = np.random.default_rng(1)
    layers = generator.dirichlet(np.ones(5), size=(3, 2, 5))
    rollout = None
    for weights_HTS in layers:
        rollout = measures.roll_out(rollout, weights_HTS)
    expected = np.eye(5)
    for weights_HTS in layers:
        raw = 0.5 * weights_HTS.mean(axis=0) + 0.5 * np.eye(5)
        raw /= raw.sum(axis=1, keepdims=True)
        expected = raw @ expected
    assert rollout is not None
    np.testing.assert_allclose(rollout, expected, atol=1e-12)
    np.testing.assert_allclose(rollout.sum(axis=1), 1)


@given(attention(), st.data())
def test_what_is_usual_is_the_larger_of_what_the_key_gets_and_what_is_so_far_away(
    case: Case, data: st.DataObject
) -> None:
    w, _, causal, window = case
    size = len(w)
    query = data.draw(st.integers(0, size - 1))
    usual_S = measures.usual(np.stack([w, w / 2]), range(size), causal, window)[0, query]
    np.testing.assert_array_equal(measures.usual(w[None], [query], causal, window)[0, 0], usual_S)

    def sees(t: int, s: int) -> bool:
        return not causal or (s <= t and (window is None or t - s < window))

    for key in range(size):
        if not sees(query, key):
            assert math.isnan(usual_S[key])
            continue
        on_key = [w[t][key] for t in range(size) if t not in (query, key) and sees(t, key)]
        as_far = [w[t][t + key - query] for t in range(size) if t != query and 0 < t + key - query < size]
        as_far = as_far if key != query else []
        expected = max(*(mean(found) if found else 0 for found in (on_key, as_far)), 0)
        assert usual_S[key] == pytest.approx(expected, abs=1e-12)


@given(attention(), st.data())
def test_excess_leaves_out_the_query_the_keys_and_who_cannot_see_them(case: Case, data: st.DataObject) -> None:
    weights_TS, _, causal, window = case
    size = len(weights_TS)
    query = data.draw(st.integers(0, size - 1))
    keys = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1)))
    weight, others = measures.excess(weights_TS, query, keys, causal, window)
    assert weight == pytest.approx(sum(weights_TS[query][key] for key in keys))
    seeing = [
        t
        for t in range(size)
        if t != query and t not in keys
        if all(not causal or (key < t and (window is None or t - key < window)) for key in keys)
    ]
    if seeing:
        assert others == pytest.approx(mean([sum(weights_TS[t][key] for key in keys) for t in seeing]))
    else:
        assert others is None


def test_the_outputs_of_heads_add_up_to_the_attention() -> None:
    generator = np.random.default_rng(2)
    mixed_HE, output_DHE = generator.normal(size=(3, 4)), generator.normal(size=(5, 12))
    heads_HD = attribution.output_of_heads(mixed_HE, output_DHE)
    np.testing.assert_allclose(heads_HD.sum(axis=0), output_DHE @ mixed_HE.reshape(-1))
    np.testing.assert_allclose(heads_HD[1], output_DHE[:, 4:8] @ mixed_HE[1])
    np.testing.assert_array_equal(attribution.output_of_heads(mixed_HE, None)[2, 8:], mixed_HE[2])
    np.testing.assert_allclose(attribution.shares(heads_HD, heads_HD.sum(axis=0)).sum(), 1)


def test_what_is_added_is_as_long_as_the_weighted_value_after_the_matrix() -> None:
    generator = np.random.default_rng(3)
    weights_TS, value_SE = generator.dirichlet(np.ones(4), size=4), generator.normal(size=(4, 3))
    output_DE = generator.normal(size=(6, 3))
    expected = [
        [np.linalg.norm(weight * (output_DE @ value)) for weight, value in zip(row, value_SE, strict=True)]
        for row in weights_TS
    ]
    np.testing.assert_allclose(attribution.norm_of_added(weights_TS, value_SE, output_DE), expected)
