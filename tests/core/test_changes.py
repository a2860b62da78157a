"""How far two of the same are apart, and how sure a mean over pieces of text is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llminspect.core.changes import moved_weight, of_pieces


def test_what_a_sink_takes_counts_as_a_place() -> None:
    a, b = np.array([[[1.0, 0.0], [0.5, 0.5]]]), np.array([[[1.0, 0.0], [0.5, 0.1]]])
    assert moved_weight(a, b) == pytest.approx([0.4])


def test_an_interval_from_piece_to_piece_holds_the_mean_as_often_as_it_says() -> None:
    draw, held = np.random.default_rng(1), 0
    for _ in range(400):
        middle = draw.normal(3.0, 1.0, 12)  # Places of a piece are more of a kind than those of another.
        counts = [10] * 11 + [4]
        pieces = [(float(draw.normal(m, 0.3, n).sum()), n) for m, n in zip(middle, counts, strict=True)]
        _, low, high = of_pieces(pieces)
        held += low <= 3.0 <= high
    assert 0.92 <= held / 400 <= 0.98
    values = [1.0, 4.0, 2.5]
    mean, low, high = of_pieces([(10 * value, 10) for value in values])  # Of equal pieces Student's interval.
    assert [mean, high - mean] == pytest.approx([2.5, 4.30265 * float(np.std(values, ddof=1)) / math.sqrt(3)])
    assert mean - low == pytest.approx(high - mean)
