"""What stands beside a head's own matrices: what its circuits hold of a model, what they leave out, and what positions
add to its scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.cache import Span
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import NO_TAP
from llminspect.model.head_maps import Scores, position_vectors
from llminspect.model.opened import Model
from llminspect.model.transformer import distance_bias


def folded_parts(model: Model, layer: int) -> Iterator[str]:
    """What is in the numbers."""
    config, params = model.config, model.params
    arrays = params.layer(layer)
    if config.keys_of(layer) != layer:
        yield f"keys and values are those of layer {config.keys_of(layer)}"
    if "attention.norm.weight" in arrays or config.weightless_norms:
        yield "the norm before the layer, of each token alone: its gain, and its size as a divisor"
    if config.sizes.Z:
        yield "OV: the gain of the norm of the shorter vector that values are made of"
    if "attention.norm_after.weight" in arrays:
        yield "the gain of the norm after the attention"
    if config.residual_scale != 1:
        yield f"the factor {config.residual_scale:g} on what is added to the stream"
    if params.get("final.norm.weight") is not None or config.weightless_norms:
        yield "the gain of the final norm, at a last stream of size 1 (root mean square)"
    if "final.projection.weight" in params:
        yield "the projection after the final norm"
    if config.logit_scale != 1:
        yield f"the factor {config.logit_scale:g} on the logits"
    if config.sizes.Z:
        yield "QK: both parts of a score, the one without positions and the rotated one, exact"
    normed = config.heads_normed or any(f"attention.query.{norm}.weight" in arrays for norm in ("norm", "norm_after"))
    if normed:
        yield "QK: the norms of queries and keys, exact"
    if "attention.query.bias" in arrays or "attention.key.bias" in arrays:
        yield "QK: the biases of queries and keys; that of queries is in what any query looks for"


def left_out_parts(model: Model, layer: int) -> Iterator[str]:
    """What is not."""
    config, params = model.config, model.params
    arrays = params.layer(layer)
    if layer:
        yield f"what layers 0 to {layer - 1} add to the stream: the numbers are for a token that is alone in the stream"
    if "middle.norm.weight" in arrays or "middle.twice.norm.weight" in arrays:
        yield "OV: the norms that the stream itself goes through after this layer"
    if config.sizes.Z:
        yield "OV: the size by which the shorter vector is divided"
    if config.value_norms:
        yield "OV: the size by which each value is divided"
    if "attention.norm_after.weight" in arrays:
        yield "OV: the size by which the norm after the attention divides"
    if config.clip is not None:
        yield f"OV: that values are kept between -{config.clip:g} and {config.clip:g}"
    if "attention.gate.weight" in arrays:
        yield "OV: the gate between 0 and 1 of each number that the head reads"
    if "attention.output.bias" in arrays:
        yield "OV: the bias of the output, which all heads share"
    if "laurel.left.weight" in arrays:
        yield "OV: the map of low rank beside the attention"
    if config.logit_cap is not None:
        yield f"OV: the cap of {config.logit_cap:g} on the logits"
    if config.score_cap is not None:
        yield f"QK: the cap of {config.score_cap:g} on the scores"
    if params.layer(layer).get("attention.sink") is not None:
        yield "QK: the sink, one more alternative that takes weight and gives nothing"
    if config.waves or "position.weight" in params:
        yield "QK: products of a token and a position; position · position is below"
    window = config.window_of(layer)
    if window is not None:
        yield f"QK: that only the last {window} tokens are seen"
    if "embedding.norm.weight" in params and (config.waves or "position.weight" in params):
        yield "that tokens and positions are normed together"


FARTHEST = 64
"""Distances that are looked at: from 0 to one less."""


@dataclass(frozen=True)
class PositionScores:
    """What positions add to the scaled scores."""

    kind: Literal["rotary", "learned", "linear"]
    """rotary: the mean query and the mean key of the vocabulary, turned by their positions (Su et al. 2021); an exact
    part of each score at that distance, as what is left is made of what a token has beyond the mean. learned: position
    · position, each alone in the stream, the mean over the places of the query. linear: one number for each
    distance (ALiBi, or a table)."""
    scores: list[float]
    """At the distances 0, 1, 2 …"""


def position_scores(model: Model, scores: Scores, query_E: Array, key_E: Array) -> PositionScores | None:
    """What the place of a key adds; `query_E` is the mean query of the vocabulary before, `key_E` the mean key after
    its rotation. None where scores know no positions."""
    config, layer = model.config, scores.layer
    window = config.window_of(layer)
    farthest = min(FARTHEST, config.sizes.context or FARTHEST, window or FARTHEST, model.most_tokens or FARTHEST)
    if scores.rotary is not None:
        turned_PE = scores.queries(np.broadcast_to(query_E, (farthest, len(query_E))), 0, farthest)
        return PositionScores("rotary", (turned_PE @ key_E).tolist())
    like_TD = np.zeros((farthest, 1), np.float32)
    table_BH = model.params.get("relative.weight")
    if table_BH is None:
        table_BH = model.params.get(f"layers.{layer}.attention.relative.weight")
    bias_HTS = distance_bias(table_BH, config, like_TD, Span(0, farthest, 0), NO_TAP, "")
    if bias_HTS is not None:
        row_S = bias_HTS[scores.head, -1, ::-1]
        return PositionScores("linear", (row_S - row_S[0]).tolist())
    places_PD = position_vectors(model, farthest)
    if places_PD is None:
        return None
    query_PE, key_PE = scores.vectors(places_PD)
    all_PP = scores.queries(query_PE, 0) @ scores.keys(key_PE).T
    return PositionScores("learned", [float(np.diagonal(all_PP, -far).mean()) for far in range(farthest)])
