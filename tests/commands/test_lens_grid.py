"""`forward --lens --all`: each cell is what the logits of that layer at that position say, however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest

from llminspect.analysis.lens import lens_grid
from llminspect.core import unembed
from llminspect.core.tap import Capture
from llminspect.core.threads import products
from llminspect.core.unembed import most_probable
from llminspect.opening import open_model
from tests.model.golden import Golden


def test_the_most_probable_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unembed, "NEAR", 3)
    logits_TV = np.random.default_rng(0).normal(0, 30, (10, 50)).astype(np.float32)
    logits_TV[4] += 1e6
    logits_TV[7, 20:] = -np.inf
    logits_TV[9] = 2.0
    before_TV = logits_TV.copy()
    best_T, chance_T = most_probable(logits_TV)
    for row_V, best, chance in zip(logits_TV.astype(np.float64), best_T, chance_T, strict=True):
        assert best == row_V.argmax()
        assert chance == pytest.approx(np.exp(row_V - row_V.max())[best] / np.exp(row_V - row_V.max()).sum(), rel=1e-5)
    np.testing.assert_array_equal(logits_TV, before_TV)


@pytest.mark.parametrize("together", [1, 7, 1000])
@pytest.mark.parametrize("threads", [1, 2])
def test_each_cell_is_read_from_its_own_stream(threads: int, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llminspect.analysis.lens.TOGETHER", together)
    golden = Golden("llama")
    model, ids = open_model(str(golden.folder), offline=True), golden.expected["ids"].tolist()
    streams = Capture("layers.?.output")
    model.run(ids, streams)
    with products().limit(limits=threads):
        grid = lens_grid(model, ids, [])
    assert len(grid) == model.config.sizes.L
    for layer, row in enumerate(grid):
        for cell, stream_D in zip(row, streams[f"layers.{layer}.output"], strict=True):
            logits_V = model.logits(stream_D[None])[0].astype(np.float64)
            chance_V = np.exp(logits_V - logits_V.max()) / np.exp(logits_V - logits_V.max()).sum()
            assert cell.id == chance_V.argmax()
            assert cell.prob == pytest.approx(chance_V.max(), rel=1e-4)
