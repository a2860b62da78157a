"""`forward --surprise` against a slow pass a window, written plainly, and against the loss of transformers."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from llminspect import forward
from llminspect.opening import open_model
from tests.commands.plain_llama import plain_forward

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDED = orjson.loads((GOLDEN / "perplexity.json").read_bytes())["entries"]


@cache
def llama() -> Model:
    return open_model(str(GOLDEN / "llama"))


def plain_bits(model: Model, ids: list[int], window: int) -> list[float]:
    """−log₂ p of each token but the first, from the first of the windows, each half a window on, that holds it."""
    config: Any = model.config
    unembedding_VD = np.asarray(model.params["unembedding.weight"], np.float64)
    weight_D = np.asarray(model.params["final.norm.weight"], np.float64)
    streams: dict[int, list[Any]] = {}
    bits = []
    for index in range(1, len(ids)):
        start = 0
        while index >= start + window:
            start += window - window // 2
        if start not in streams:
            streams[start] = plain_forward(model, ids[start : start + window])[1][-1]
        vector_D = streams[start][index - 1 - start]
        logits_V = unembedding_VD @ (vector_D / np.sqrt((vector_D**2).mean() + config.norm_epsilon) * weight_D)
        total = math.fsum(math.exp(value - logits_V.max()) for value in logits_V)
        bits.append(-(logits_V[ids[index]] - logits_V.max() - math.log(total)) / math.log(2))
    return bits


@pytest.mark.parametrize(
    ("length", "window", "written"),
    [(2, None, None), (30, None, None), (64, None, None), (30, 30, None), (65, None, 64), (90, None, 64), (30, 9, 9)],
)
def test_each_token_is_as_surprising_as_in_a_plain_pass(length: int, window: int | None, written: int | None) -> None:
    """Shorter and longer than the context of 64, with a window and without."""
    ids = np.random.default_rng(length).integers(0, 131, length).tolist()
    found = forward(ids, llama(), surprise=True, window=window).surprise
    assert found is not None
    expected = plain_bits(llama(), ids, window or 64)
    assert found.bits[0] is None
    np.testing.assert_allclose(np.array(found.bits[1:], dtype=float), np.array(expected), rtol=1e-5)
    assert found.perplexity == pytest.approx(2 ** (math.fsum(expected) / len(expected)), rel=1e-5)
    assert found.window == written


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: f"{entry['model']} {entry['window']}")
def test_the_perplexity_is_that_of_transformers(smollm2: Model, entry: dict[str, Any]) -> None:
    model = smollm2 if entry["model"] == "smollm2" else llama()
    found = forward(entry["text"] or entry["ids"], model, surprise=True, window=entry["window"])
    assert [token["id"] for token in found.tokens] == entry["ids"]
    assert found.surprise is not None
    assert found.surprise.perplexity == pytest.approx(entry["perplexity"], rel=1e-4)


def test_the_number_alone_is_the_same(called: Program) -> None:
    entry = RECORDED[0]
    ran = called("forward", "--perplexity", entry["text"])
    assert float(ran.out) == pytest.approx(entry["perplexity"], rel=1e-4)
