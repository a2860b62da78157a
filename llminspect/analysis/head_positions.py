"""What positions add to a head's scores, whatever the tokens are, by the distance of key and query."""

from __future__ import annotations

from typing import Literal

import numpy as np

from llminspect.core.array import Array
from llminspect.core.cache import Span
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import NO_TAP
from llminspect.model.head_maps import Scores, position_vectors
from llminspect.model.opened import Model
from llminspect.model.transformer import distance_bias

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
