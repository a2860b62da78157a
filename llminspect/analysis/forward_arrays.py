"""What `forward --save F.npz` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.forward_changes import prepared
from llminspect.analysis.prompt import of_segments, segments_of, with_source
from llminspect.core.array import Array
from llminspect.core.tap import Capture, Chain
from llminspect.errors import UsageError
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.forward_result import ForwardQuestion, ForwardResult


def forward_arrays(model: Model, question: ForwardQuestion, result: ForwardResult) -> dict[str, Array]:
    """The full arrays of `--save F.npz`, in a pass of their own: nobody else pays for keeping them.

    `logits` [T, V] (of a model that has them; of one with another head its own numbers, `scores`), `ids` [T], and
    `hidden` [L+1, T, D], the residual stream after the embedding and after each layer; of an encoder–decoder
    `source_ids` as well; with means over a corpus those (`ablate_3.2`), which `--corpus` takes again.
    """
    ids = [token["id"] for token in result.tokens]
    if result.surprise is not None and len(ids) > model.config.sizes.context:
        raise UsageError("--save .npz keeps one pass, and this text takes several windows", "save .json, or shorten it")
    model = of_segments(model, segments_of(result.tokens))
    source: dict[str, Array] = {}
    if result.source is not None:
        source_ids = [token["id"] for token in result.source]
        model, source = with_source(model, source_ids), {"source_ids": np.asarray(source_ids)}
    taps, _, _ = prepared(model, question, ids, result.position, (None, None), result.sweep)
    names = ["layers.0.input", *(f"layers.{layer}.output" for layer in range(model.config.sizes.L))]
    capture = Capture(*names)
    stream_TD = model.run(ids, Chain([*taps, capture])).stream_TD
    logits = {"logits": model.logits(stream_TD)} if model.can("generate") or model.can("fill") else {}
    if model.architecture.head is not None:
        logits["scores"] = model.label_scores(ids, stream_TD, Chain(taps))
    means = {} if question.instead is None else question.instead.arrays()
    return {**logits, "ids": np.asarray(ids), "hidden": np.stack([capture[name] for name in names]), **source, **means}
