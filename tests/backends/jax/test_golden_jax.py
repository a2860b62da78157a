"""Every golden model on JAX gives the reference's numbers, and numpy's, and the same greedy tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.model.golden import NAMES, STREAM, WEIGHTS, Golden, assert_as_expected, computed, greedy

if TYPE_CHECKING:
    from tests.backends.jax.conftest import Placed

GENERATING = [name for name in NAMES if "greedy" in Golden(name).expected]


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_the_reference_s(name: str, placed: Placed) -> None:
    golden, plain, model = placed(name)
    found = computed(model, golden)
    assert_as_expected(found, golden)
    for key, values in computed(plain, golden).items():
        bound = WEIGHTS if key.endswith("attentions") else STREAM
        np.testing.assert_allclose(found[key], values, rtol=0, atol=bound, err_msg=key)


@pytest.mark.parametrize("name", GENERATING)
def test_greedy_tokens_with_the_cache(name: str, placed: Placed) -> None:
    golden, _, model = placed(name)
    assert greedy(model, golden, cached=True) == golden.expected["greedy"].tolist()
