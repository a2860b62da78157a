"""`attend --query`: one query's products with every key, the scale, the softmax, the weighted sum of the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from llminspect.analysis.passes import run_until
from llminspect.analysis.result import Dims
from llminspect.core.array import Array
from llminspect.core.attention import score_parts
from llminspect.core.attention_measures import habit
from llminspect.core.cache import Cache, LayerCache
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Capture, Chain
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.attention import WatchedAttention

WHOLE_PASS = 1024
"""Up to so many tokens the steps are taken from one pass; of a longer text only the query's own row is worked out, and
only the keys that it may see are there."""
_STEPS = (
    *("query.projected", "query.normed", "query.turned", "query"),
    *("key.projected", "key.normed", "key.turned", "key", "value"),
    *("scores", "scaled", "capped", "masked", "weights", "mixed"),
)
_SHARED = ("key", "value", "key.projected", "key.normed", "key.turned")
"""Of these there is one for each key/value head."""
_FIELDS = {"keys": "key", "values": "value"} | {step: step for step in "query scores scaled masked weights".split()}
"""Of a Query: the step that each is."""


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
    chosen_by: Literal["you", "excess"]
    """Whether the head was chosen, or is the one that gives a token other than 0 and itself most beyond the usual."""
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
    compressed: Annotated[Array, Dims("S")] | None = None
    """The part of the scores that does not depend on positions, where keys are made of a shorter vector …"""
    rotary: Annotated[Array, Dims("S")] | None = None
    """… and the part that is turned by it: both sum to the scores."""
    rotary_from: int | None = None
    """From which number of a query or a key on the rotary part is."""
    bias: Annotated[Array, Dims("S")] | None = None
    """What the model adds to the scaled scores for the distance."""
    capped: Annotated[Array, Dims("S")] | None = None
    usual: Annotated[Array, Dims("S")] | None = None
    """Where the head was not chosen: the part of each weight that was to be expected anyway, because the
    other tokens give as much to the same key, or to the key at the same distance from them …"""
    mean_of_heads: Annotated[Array, Dims("S")] | None = None
    """… the mean of the weights of all the heads that could have been chosen …"""
    habit: str | None = None
    """… and what the head does on the whole text: sink, previous, next, self, same, induction, diffuse or mixed."""
    to_sink: float | None = None
    """The weight that goes to the head's own sink and to no token, so that the others do not sum to one."""


def query_by_hand(
    model: Model, ids: Sequence[int], index: int, text: str, layer: int, head: int, **beside: Any
) -> Query:
    """Every step of one query's attention in one head, as the model itself computed it; `beside` are further fields."""
    steps = _captured(model, ids, index, layer, head)
    step = "normed" if "query.normed" in steps else "projected"
    unnormed = steps.get("query.turned", steps["query.projected"] if step == "normed" else None)
    # At position 0 the rotation leaves everything as it is, so the keys tell whether there is one.
    after = steps.get("key.turned", steps["key"])
    turned = f"key.{step}" in steps and not np.array_equal(steps[f"key.{step}"], after)
    scale, bias_S = scale_and_bias(steps["scores"], steps["scaled"])
    total, sizes = float(steps["weights"].sum(dtype=np.float64)), model.config.sizes
    compressed_S, rotary_S = score_parts(steps["query"], steps["key"], sizes.M) if sizes.Z else (None, None)
    arrays: dict[str, Any] = {field: steps[step] for field, step in _FIELDS.items()}
    return Query(
        index=index,
        text=text,
        layer=layer,
        head=head,
        kv_head=head * model.config.heads_of(layer)[0] // model.config.sizes.H,
        scale=scale,
        output=steps["mixed"],
        **arrays,
        query_unnormed=unnormed,
        query_unrotated=steps[f"query.{step}"] if turned else None,
        keys_unrotated=steps[f"key.{step}"] if turned else None,
        compressed=compressed_S,
        rotary=rotary_S,
        rotary_from=sizes.M or None,
        bias=bias_S,
        capped=steps.get("capped"),
        to_sink=1 - total if total < 1 - 1e-3 else None,
        **beside,
    )


def least_usual_head(watched: WatchedAttention, index: int, chosen: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Of the chosen heads the one in which the query gives another token most beyond what is usual, and what stands
    beside it: fields of `Query`."""
    rows_LHS, usual_LHS = np.stack(watched.rows), np.stack(watched.usual)
    excess_LHS = np.nan_to_num(rows_LHS - usual_LHS, nan=-9)
    excess_LHS[:, :, not_looked_for(rows_LHS.shape[-1], index)] -= 3
    layer, head = max(chosen, key=lambda place: float(excess_LHS[place].max()))
    return {
        "layer": layer,
        "head": head,
        "chosen_by": "excess",
        "usual": usual_LHS[layer, head],
        "mean_of_heads": np.mean([rows_LHS[place] for place in chosen], axis=0, dtype=np.float64).astype(np.float32),
        "habit": habit({name: float(by_layer[layer][head]) for name, by_layer in watched.measures.items()}),
    }


def not_looked_for(tokens: int, index: int) -> list[int]:
    """Token 0 is where heads rest, and every token looks at itself: neither says what a head looks for."""
    return [0, index] if tokens > 2 else []


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
    name, kv_head = f"layers.{layer}.attention", head * model.config.heads_of(layer)[0] // model.config.sizes.H
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
    if model.config.state is not None:
        cache = model.run(ids, earlier).cache
        assert cache is not None
        return cache
    names = [f"layers.{at}.attention.{step}" for at in range(layer + 1) for step in ("key", "value")]
    kept = Capture(*names)
    run_until(model, ids, Chain([kept, earlier]), names[-2:])
    pairs = zip(names[::2], names[1::2], strict=True)
    return Cache(len(ids), tuple(LayerCache(kept[key], kept[value]) for key, value in pairs))
