"""Routers against one that goes through the experts of a token one by one."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.activations import sigmoid
from llminspect.core.feedforward import Glu, mixture
from llminspect.core.routing import Groups, Router, route
from llminspect.core.tap import NoTap
from tests.closeness import assert_close

if TYPE_CHECKING:
    from llminspect.core.array import Array

X = 12


def one_by_one(scores: list[float], router: Router, bias: list[float] | None) -> list[float]:
    """The weights of one token's experts."""
    if router.kind == "sigmoid":
        weights = [1 / (1 + math.exp(-score)) for score in scores]
    else:
        total = sum(math.exp(score) for score in scores)
        weights = [math.exp(score) / total for score in scores]
    compared = weights if bias is None else [weight + more for weight, more in zip(weights, bias, strict=True)]
    found = router.by_group or Groups(X, 1)
    groups = [list(range(start, start + found.size)) for start in range(0, X, found.size)]

    def of_group(group: list[int]) -> float:
        return sum(sorted((compared[expert] for expert in group), reverse=True)[: found.best])

    seen = [expert for group in sorted(groups, key=of_group, reverse=True)[: found.chosen] for expert in group]
    chosen = sorted(seen, key=lambda expert: compared[expert], reverse=True)[: router.chosen]
    total = sum(weights[expert] for expert in chosen) if router.among_chosen else 1
    return [router.factor * weights[expert] / total if expert in chosen else 0.0 for expert in range(X)]


@pytest.mark.parametrize(
    ("kind", "among_chosen", "biased", "groups"),
    list(product(("softmax", "sigmoid"), (True, False), (True, False), (None, Groups(3, 2), Groups(4, 1, best=1)))),
)
def test_the_weights_are_those_of_one_expert_after_another(
    kind: str, among_chosen: bool, biased: bool, groups: Groups | None
) -> None:
    router = Router(3, among_chosen, kind, groups, factor=1.7)  # type: ignore[arg-type]
    draw = np.random.default_rng(7)
    scores_TX, bias_X = draw.normal(0, 2, (40, X)), draw.normal(0, 0.3, X) if biased else None
    bias = None if bias_X is None else bias_X.tolist()
    expected = np.array([one_by_one(scores, router, bias) for scores in scores_TX.tolist()])
    assert_close(route(scores_TX, router, bias_X), expected, 1e-12)
    stacked = route(scores_TX.reshape(4, 10, X), router, bias_X)
    assert np.array_equal(stacked.reshape(40, X), route(scores_TX, router, bias_X))


def nearest(scores: list[float], near: float) -> list[float]:
    """The weights of one token's two experts: each counts by a softmax over those left that are near it."""
    weights = [0.0] * len(scores)
    for _ in range(2):
        left = [expert for expert, weight in enumerate(weights) if weight == 0]
        best = max(left, key=lambda expert: scores[expert])
        close = [each for each in left if scores[best] - scores[each] <= near * max(abs(scores[each]), scores[best])]
        weights[best] = math.exp(scores[best]) / sum(math.exp(scores[each]) for each in close)
    return weights


def test_each_expert_counts_among_those_near_it() -> None:
    scores_TX = np.random.default_rng(5).normal(0, 2, (60, X)) - np.linspace(0, 4, 60)[:, None]
    router = Router(2, among_chosen=False, kind="nearest", near=0.4)
    expected = np.array([nearest(scores, 0.4) for scores in scores_TX.tolist()])
    assert_close(route(scores_TX, router), expected, 1e-12)
    # With a nearness of nought each is alone, and counts whole.
    assert set(route(scores_TX, Router(2, False, "nearest", near=0.0)).ravel().tolist()) == {0.0, 1.0}


def test_scores_far_apart_are_still_told_apart() -> None:
    scores_TX = np.array([[200.0, 0.0, 1.0, 2.0]], np.float32)
    assert route(scores_TX, Router(3, among_chosen=False))[0].nonzero()[0].tolist() == [0]
    kept = route(scores_TX, Router(3))[0]
    assert kept[0] == 1 and np.isfinite(kept).all()


def test_sigmoids_overflow_nowhere() -> None:
    with np.errstate(all="raise"):
        assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_expert_counts_by_its_share(shared: bool) -> None:
    draw = np.random.default_rng(3)
    x_TD, unit = draw.normal(size=(5, 6)), Glu("silu")

    def network(front: str, *lead: int) -> dict[str, Array]:
        shapes = {"gate": (4, 6), "up": (4, 6), "down": (6, 4)}
        return {f"{front}.{part}.weight": draw.normal(size=(*lead, *shape)) for part, shape in shapes.items()}

    layer = {"router.weight": draw.normal(size=(3, 6)), **network("experts", 3), **network("shared")}
    if shared:
        layer["shared.share.weight"] = draw.normal(size=(1, 6))
    without = {name: array for name, array in layer.items() if not name.startswith("shared.")}
    more = (mixture(x_TD, each, router=Router(2), unit=unit, tap=NoTap(), name="") for each in (layer, without))
    whole, alone = more
    gate, up, down = (layer[f"shared.{part}.weight"] for part in ("gate", "up", "down"))
    expected = (unit(x_TD @ gate.T, x_TD @ up.T)) @ down.T
    if shared:
        expected = expected / (1 + np.exp(-x_TD @ layer["shared.share.weight"].T))
    assert_close(whole - alone, expected, 1e-12)
