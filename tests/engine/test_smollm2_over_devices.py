"""SmolLM2 over as many devices as it can be cut for: its 9 heads share 3 keys, so `model` is 1 or 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.core.tap import Capture
from llminspect.engine.settings import EngineSettings
from llminspect.engine.start import on_jax
from llminspect.files.machine import memory_bytes
from tests.arch.golden import STREAM, WEIGHTS

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model import Model
    from tests.conftest import Program

TEXTS = """
The capital of France is a large city
Once upon a time there was a king
A cat sat on the mat and slept
Water boils at one hundred degrees in a pot
My brother plays the piano every evening
The first man on the moon was not alone
She opened the door and saw the garden
Two and two are four, and three are seven
""".strip().splitlines()
TOKENS, STEPS = 7, 2
COPIES = 8e9
"""Bytes of memory without which eight copies of the weights are too many."""


def what_is_said(model: Model, ids_BT: Array) -> tuple[dict[str, Array], Array, list[list[int]]]:
    """Attention weights and logits of one pass, and the tokens that follow, each the most probable."""
    tap, chosen = Capture("layers.*.attention.weights"), []
    result = model.run(ids_BT, tap)
    logits_BV = model.logits(result.stream_TD[:, -1:])
    first = logits_BV
    for _ in range(STEPS):
        chosen.append(logits_BV[:, 0].argmax(-1).tolist())
        result = model.run(np.array(chosen[-1])[:, None], cache=result.cache)
        logits_BV = model.logits(result.stream_TD)
    return tap.arrays, first, [*chosen, logits_BV[:, 0].argmax(-1).tolist()]


@pytest.fixture(scope="module")
def ids_BT(smollm2: Model) -> Array:
    assert smollm2.tokenizer is not None
    return np.array([smollm2.tokenizer.encode_ids(text)[:TOKENS] for text in TEXTS])


@pytest.mark.parametrize("axes", [{"data": 8}, {"data": 2, "model": 3}], ids=str)
def test_it_says_what_it_says_on_numpy(axes: dict[str, int], ids_BT: Array, smollm2: Model) -> None:
    if axes["data"] == 8 and (memory_bytes() or COPIES) < COPIES:
        pytest.skip("eight copies of the weights do not fit")
    weights, logits, chosen = what_is_said(on_jax(smollm2, EngineSettings(axes)), ids_BT)
    expected, expected_logits, expected_chosen = what_is_said(smollm2, ids_BT)
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=STREAM)
    assert weights.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(weights[name], array, rtol=0, atol=WEIGHTS, err_msg=name)
    assert chosen == expected_chosen


@pytest.mark.parametrize("axes", ["model=8", "data=2,model=4", "data=4,model=2"])
def test_what_it_cannot_be_cut_into_is_said(axes: str, called: Program) -> None:
    parts = axes[-1]
    ran = called("forward", "A cat", "--engine", "jax", "--mesh", axes)
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
    assert f"H = 9, K = 3 cannot be cut into {parts} equal parts" in ran.err and "model=1 or 3 would do" in ran.err
