"""What distances take from scores, against the numbers of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from llminspect.core.cache import Span
from llminspect.core.positions import alibi_bias, alibi_slopes


def test_the_slopes_are_those_of_the_paper() -> None:
    """Press et al. 2022, section 3: of 8 heads 1/2, 1/4 … 1/256; of 12 four more, from 1/√2 on."""
    eight = [1 / 2**power for power in range(1, 9)]
    assert alibi_slopes(8) == eight
    assert alibi_slopes(12) == pytest.approx([*eight, *(2**-power for power in (0.5, 1.5, 2.5, 3.5))])
    assert alibi_slopes(1) == [1 / 256]


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_a_distance_takes(mirrored: bool) -> None:
    bias_HTS = alibi_bias(np.zeros((2, 4), np.float64), 8, 2, Span(3, 5, 0), mirrored)
    for head, slope in enumerate(alibi_slopes(8)):
        for query in range(2):
            for key in range(5):
                distance = 3 + query - key
                wanted = -slope * (abs(distance) if mirrored else distance)
                assert bias_HTS[head, query, key] == pytest.approx(wanted)
