"""Two texts together give the reference's numbers on JAX as well."""

from __future__ import annotations

import numpy as np

import llminspect
from llminspect.analysis.prompt import of_segments
from tests.closeness import assert_close
from tests.model.golden import FOLDER


def test_segments_reach_compiled_code() -> None:
    with np.load(FOLDER / "pairs.npz") as recorded:
        ids, segments, hidden = (recorded[f"bert/{name}"] for name in ("ids", "segments", "hidden"))
    model = of_segments(llminspect.open_model(str(FOLDER / "bert"), engine="jax"), segments.tolist())
    assert_close(model.run(ids).stream_TD, hidden[-1])
