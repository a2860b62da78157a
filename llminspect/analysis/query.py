"""One query's attention by hand: products with every key, scale, softmax, weighted sum of the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from llminspect.analysis.passes import run_until
from llminspect.analysis.result import Dims
from llminspect.core.cache import Cache, LayerCache
from llminspect.core.tap import Capture, Chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.model.opened import Model

WHOLE_PASS = 1024
"""Up to so many tokens the steps are taken from one pass; of a longer text only the query's own row is worked out, and
only the keys that it may see are there."""


@dataclass(frozen=True)
class Query:
    """The sum of one query in one head. Keys that the mask hides have the weight 0, and null where there is no number.

    scores = query · key; scaled = scores × scale (+ bias); capped; weights = softmax; output = Σ weight · value.
    """

    index: int
    text: str
    layer: int
    head: int
    kv_head: int
    chosen_by: Literal["you", "strength"]
    """Whether the head was chosen, or is the one that gives the most weight to a token other than 0 and itself."""
    scale: float
    query: Annotated[Array, Dims("E")]
    keys: Annotated[Array, Dims("S E")]
    values: Annotated[Array, Dims("S E")]
    scores: Annotated[Array, Dims("S")]
    scaled: Annotated[Array, Dims("S")]
    masked: Annotated[Array, Dims("S")]
    weights: Annotated[Array, Dims("S")]
    output: Annotated[Array, Dims("E")]
    query_unnormed: Annotated[Array, Dims("E")] | None = None
    """Before the norm that some models put on queries and keys."""
    query_unrotated: Annotated[Array, Dims("E")] | None = None
    """Before it was turned by its position."""
    keys_unrotated: Annotated[Array, Dims("S E")] | None = None
    bias: Annotated[Array, Dims("S")] | None = None
    """What the model adds to the scaled scores for the distance."""
    capped: Annotated[Array, Dims("S")] | None = None
    to_sink: float | None = None
    """The weight that goes to the head's own sink and to no token, so that the others do not sum to one."""


_STEPS = (
    *("query.projected", "query.normed", "query", "key.projected", "key.normed", "key", "value"),
    *("scores", "scaled", "capped", "masked", "weights", "mixed"),
)
_SHARED = ("key", "value", "key.projected", "key.normed")
"""Of these there is one for each key/value head."""


def query_by_hand(
    model: Model, ids: Sequence[int], index: int, text: str, layer: int, head: int, *, chosen: bool
) -> Query:
    """Every step of one query's attention in one head, as the model itself computed it."""
    steps = _captured(model, ids, index, layer, head)
    normed = "query.normed" in steps
    step = "normed" if normed else "projected"
    # At position 0 the rotation leaves everything as it is, so the keys tell whether there is one.
    turned = f"key.{step}" in steps and not np.array_equal(steps[f"key.{step}"], steps["key"])
    scale, bias_S = scale_and_bias(steps["scores"], steps["scaled"])
    total = float(steps["weights"].sum(dtype=np.float64))
    return Query(
        index=index,
        text=text,
        layer=layer,
        head=head,
        kv_head=head * model.config.sizes.K // model.config.sizes.H,
        chosen_by="you" if chosen else "strength",
        scale=scale,
        query=steps["query"],
        keys=steps["key"],
        values=steps["value"],
        scores=steps["scores"],
        scaled=steps["scaled"],
        masked=steps["masked"],
        weights=steps["weights"],
        output=steps["mixed"],
        query_unnormed=steps["query.projected"] if normed else None,
        query_unrotated=steps[f"query.{step}"] if turned else None,
        keys_unrotated=steps[f"key.{step}"] if turned else None,
        bias=bias_S,
        capped=steps.get("capped"),
        to_sink=1 - total if total < 1 - 1e-3 else None,
    )


def strongest_head(rows: Sequence[Array], index: int, chosen: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Of the chosen heads the one in which the query gives the most weight to another token; `rows` are the query's
    weights [H, S], one a layer."""
    rows_LHS = np.stack(rows)
    # Token 0 is where heads rest, and every token looks at itself: neither says what this head looks for.
    if rows_LHS.shape[-1] > 2:
        rows_LHS[:, :, [0, index]] = 0
    return max(chosen, key=lambda head: float(rows_LHS[head].max()))


def scale_and_bias(scores_S: Array, scaled_S: Array) -> tuple[float, Array | None]:
    """How the scaled scores came from the scores: one factor for all, or else something was added to each."""
    known = np.isfinite(scores_S) & np.isfinite(scaled_S)
    scores, scaled = scores_S[known].astype(np.float64), scaled_S[known].astype(np.float64)
    factor = float(scores @ scaled / (scores @ scores)) if scores.any() else 1.0
    if np.allclose(scores * factor, scaled, rtol=1e-4, atol=1e-4):
        return factor, None
    # Two unknowns a model has, the factor and what is added; families that add for the distance do not scale (T5).
    return 1.0, scaled_S - scores_S


def _captured(model: Model, ids: Sequence[int], index: int, layer: int, head: int) -> dict[str, Array]:
    """The query's row of each step, and the keys and values that it may see; what the model has not is not there."""
    name, kv_head = f"layers.{layer}.attention", head * model.config.sizes.K // model.config.sizes.H
    names = {step: f"{name}.{step}" for step in _STEPS}
    capture, earlier, row = Capture(*names.values()), Capture(*(names[step] for step in _SHARED)), index
    if len(ids) > WHOLE_PASS and model.config.causal and model.can("generate") and index > 0:
        # All scores of a long text would be gigabytes: the tokens before go into a cache, then the query comes alone.
        cache, row = _cache_before(model, ids[:index], layer, earlier), 0
        run_until(model, ids[index : index + 1], capture, [names["mixed"]], cache)
    else:
        run_until(model, ids, capture, [names["mixed"]])
    found = {}
    for step, array in ((step, capture.arrays[name]) for step, name in names.items() if name in capture.arrays):
        if step in _SHARED:
            pieces = [kept.arrays[names[step]][kv_head] for kept in (earlier, capture) if names[step] in kept.arrays]
            found[step] = np.concatenate(pieces)
        else:
            found[step] = array[head, row].copy()
    return found


def _cache_before(model: Model, ids: Sequence[int], layer: int, earlier: Capture) -> Cache:
    """What the layers up to `layer` keep of the tokens before the query; `earlier` sees them as well."""
    names = [f"layers.{at}.attention.{step}" for at in range(layer + 1) for step in ("key", "value")]
    kept = Capture(*names)
    run_until(model, ids, Chain([kept, earlier]), names[-2:])
    pairs = zip(names[::2], names[1::2], strict=True)
    return Cache(len(ids), tuple(LayerCache(kept[key], kept[value]) for key, value in pairs))
