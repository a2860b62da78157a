"""`forward --lens`: what the model would say after each layer (nostalgebraist 2020, "the logit lens").

The final norm is applied afresh to the stream of each layer, and the products with the vocabulary are done for many
streams at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.candidates import ProbableToken, RankedToken, ranked_token, token_text
from llminspect.analysis.passes import head_reads
from llminspect.core.attention import softmax
from llminspect.core.dataclass import dataclass
from llminspect.core.sampling import top_ids
from llminspect.core.threads import in_threads, sharing
from llminspect.core.unembed import most_probable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.model.opened import Model

TOGETHER = 256
"""Streams that are multiplied with the vocabulary at once: what fits in memory beside the model."""


@dataclass(frozen=True)
class LensLayer:
    """What would be said after one layer."""

    layer: int
    top: list[ProbableToken]
    target: RankedToken | None = None


def lens(model: Model, rows: Mapping[str, Array], answer_V: Array, count: int, target: int | None) -> list[LensLayer]:
    """The lens at one position, for every layer; the last layer's is the model's own `answer_V`, its logits."""
    earlier = [rows[head_reads(model, layer)] for layer in range(model.config.sizes.L - 1)]
    groups = (np.stack(earlier[start : start + TOGETHER]) for start in range(0, len(earlier), TOGETHER))
    layers = []
    for layer, logits_V in enumerate([*(row for group in groups for row in model.logits(group)), answer_V]):
        probabilities_V = softmax(logits_V)
        top = [ProbableToken(best, token_text(model, best), probabilities_V[best]) for best in top_ids(logits_V, count)]
        layers.append(LensLayer(layer, top, None if target is None else ranked_token(model, logits_V, target)))
    return layers


def lens_grid(model: Model, streams_LTD: Array) -> list[list[ProbableToken]]:
    """The most probable next token after each layer [L] at each position [T]."""
    streams_ND = streams_LTD.reshape(-1, streams_LTD.shape[-1])
    best_N: Array = np.empty(len(streams_ND), int)
    chance_N: Array = np.empty(len(streams_ND), np.float32)

    def read(start: int) -> None:
        those = slice(start, start + TOGETHER)
        best_N[those], chance_N[those] = most_probable(model.logits(streams_ND[those]))

    with sharing(model.engine is None and len(streams_ND) > TOGETHER):
        in_threads(read, range(0, len(streams_ND), TOGETHER))
    cells = [
        ProbableToken(best, token_text(model, best), chance)
        for best, chance in zip(best_N.tolist(), chance_N, strict=True)
    ]
    tokens = streams_LTD.shape[1]
    return [cells[start : start + tokens] for start in range(0, len(cells), tokens)]
