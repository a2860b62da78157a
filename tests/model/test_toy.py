"""The toy models give the numbers of the hand calculation."""

from __future__ import annotations

import numpy as np

from llminspect.core.attention import softmax
from llminspect.core.tap import Capture
from llminspect.model.toy import TOYS


def test_world_by_hand() -> None:
    toy = TOYS["toy"]()
    tap = Capture("*")
    result = toy.architecture.forward(toy.params, toy.config, np.array([1]), tap)
    logits_TV = toy.architecture.readout(toy.params, toy.config, result.stream_TD, tap)
    np.testing.assert_allclose(tap["embedding.output"], [[0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(result.stream_TD, [[2.0, 2.7]], rtol=1e-6)
    np.testing.assert_allclose(logits_TV, [[0.74, 1.68, 2.62]], rtol=1e-6)
    assert int(np.argmax(softmax(logits_TV))) == 2


def test_cat_finds_sat_then_its_article() -> None:
    toy = TOYS["toy-attention"]()
    tap = Capture("*")
    toy.architecture.forward(toy.params, toy.config, np.array([0, 1, 2, 3]), tap)
    assert tap["layers.0.attention.scores"][0, 1].tolist() == [2, 0, 4, 0]
    assert tap["layers.0.attention.scaled"][0, 1].tolist() == [1, 0, 2, 0]
    exponentials = np.exp([1.0, 0, 2, 0])
    weights = exponentials / exponentials.sum()
    np.testing.assert_allclose(tap["layers.0.attention.weights"][0, 1], weights, rtol=1e-6)
    by_hand = [weights[0], 2 * weights[1] + weights[2], 3 * weights[2], weights[3]]
    np.testing.assert_allclose(tap["layers.0.attention.mixed"][0, 1], by_hand, rtol=1e-6)
