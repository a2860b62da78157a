"""`forward --lens`: what the model would say after each layer (nostalgebraist 2020, "the logit lens").

The final norm is applied afresh to the stream of each layer, and the products with the vocabulary are done for many
streams at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from llminspect.analysis.candidates import ProbableToken, RankedToken, ranked_token, token_text
from llminspect.analysis.passes import head_reads
from llminspect.core.array import Array
from llminspect.core.attention import softmax
from llminspect.core.dataclass import dataclass
from llminspect.core.sampling import top_ids
from llminspect.core.threads import in_threads, sharing
from llminspect.core.unembed import most_probable
from llminspect.errors import UsageError
from llminspect.files.dictionaries import TunedLens, read_tuned_lens
from llminspect.model.opened import Model

TOGETHER = 256
"""Streams that are multiplied with the vocabulary at once: what fits in memory beside the model."""


@dataclass(frozen=True)
class LensLayer:
    """What would be said after one layer."""

    layer: int
    top: list[ProbableToken]
    target: RankedToken | None = None


def lens(
    model: Model,
    rows: Mapping[str, Array],
    answer_V: Array,
    count: int,
    target: int | None,
    tuned: TunedLens | None = None,
) -> list[LensLayer]:
    """The lens at one position, for every layer; the last layer's is the model's own `answer_V`, its logits.

    A `tuned` one adds to each stream an affine map of it first (Belrose et al. 2023, "Eliciting Latent Predictions from
    Transformers with the Tuned Lens").
    """
    earlier = [rows[head_reads(model, layer)] for layer in range(model.config.sizes.L - 1)]
    if tuned is not None:  # Its maps are of the streams before each layer; the first is of the embedding.
        earlier = [
            row_D + tuned.weights[layer + 1] @ row_D + tuned.biases[layer + 1] for layer, row_D in enumerate(earlier)
        ]
    groups = (np.stack(earlier[start : start + TOGETHER]) for start in range(0, len(earlier), TOGETHER))
    layers = []
    for layer, logits_V in enumerate([*(row for group in groups for row in model.logits(group)), answer_V]):
        probabilities_V = softmax(logits_V)
        top = [ProbableToken(best, token_text(model, best), probabilities_V[best]) for best in top_ids(logits_V, count)]
        layers.append(LensLayer(layer, top, None if target is None else ranked_token(model, logits_V, target)))
    return layers


def tuned_lens(model: Model, name: str) -> TunedLens:
    """Read a tuned lens of this model. Raises UsageError for one of another number of layers, or width."""
    if model.config.streams > 1:
        raise UsageError(f"--tuned-lens: {model.name} has {model.config.streams} streams, and a tuned lens reads one")
    found, sizes = read_tuned_lens(name), model.config.sizes
    layers, width = len(found.weights), len(found.biases[0])
    if (layers, width) != (sizes.L, sizes.D):
        raise UsageError(
            f"--tuned-lens {name!r:.200} is of {layers} layers of {width} numbers, "
            f"and {model.name} has {sizes.L} of {sizes.D}"
        )
    return found


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
