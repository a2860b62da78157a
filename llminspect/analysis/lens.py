"""`forward --lens`: what the model would say after each layer (nostalgebraist 2020, "the logit lens").

The final norm is applied afresh to the stream of each layer, and the products with the vocabulary are done for many
streams at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.candidates import token_text
from llminspect.core.attention import softmax
from llminspect.core.sampling import top_ids
from llminspect.core.tap import Capture, Chain
from llminspect.core.threads import in_threads, sharing
from llminspect.core.unembed import most_probable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llminspect.core.array import Array
    from llminspect.core.tap import Tap
    from llminspect.model.opened import Model

TOGETHER = 256
"""Streams that are multiplied with the vocabulary at once: what fits in memory beside the model."""


@dataclass(frozen=True)
class LensToken:
    """A token and how probable it would be."""

    id: int
    text: str
    prob: float


@dataclass(frozen=True)
class Ranked:
    """Where a token stands: rank 0 is the most probable."""

    id: int
    text: str
    prob: float
    rank: int


@dataclass(frozen=True)
class LensLayer:
    """What would be said after one layer."""

    layer: int
    top: list[LensToken]
    target: Ranked | None = None


def lens(model: Model, rows: Mapping[str, Array], count: int, target: int | None) -> list[LensLayer]:
    """The lens at one position, for every layer; the last layer is the model's own answer."""

    stream_LD = np.stack([rows[f"layers.{layer}.output"] for layer in range(model.config.sizes.L)])
    layers = []
    for layer, logits_V in enumerate(in_parts(model, stream_LD)):
        probabilities_V = softmax(logits_V)
        top = [LensToken(best, token_text(model, best), probabilities_V[best]) for best in top_ids(logits_V, count)]
        layers.append(LensLayer(layer, top, None if target is None else ranked(model, logits_V, target)))
    return layers


def ranked(model: Model, logits_V: Array, target: int) -> Ranked:
    """Where a token stands among all, by logits [V]."""

    rank = int((logits_V > logits_V[target]).sum())
    return Ranked(target, token_text(model, target), softmax(logits_V)[target], rank)


def in_parts(model: Model, streams_ND: Array) -> list[Array]:
    """The logits [V] of each of N streams, some at a time."""
    return [
        logits_V
        for start in range(0, len(streams_ND), TOGETHER)
        for logits_V in model.logits(streams_ND[start : start + TOGETHER])
    ]


def lens_grid(model: Model, ids: Sequence[int], taps: Sequence[Tap]) -> list[list[LensToken]]:
    """The most probable next token after each layer [L] at each position [T]."""

    layers, tokens = model.config.sizes.L, len(ids)
    names = [f"layers.{layer}.output" for layer in range(layers)]
    capture = Capture(*names)
    model.run(ids, Chain([*taps, capture]))
    streams_ND = np.concatenate([capture.arrays.pop(name) for name in names])
    best_N: Array = np.empty(len(streams_ND), int)
    chance_N: Array = np.empty(len(streams_ND), np.float32)

    def read(start: int) -> None:
        those = slice(start, start + TOGETHER)
        best_N[those], chance_N[those] = most_probable(model.logits(streams_ND[those]))

    with sharing(model.engine is None and len(streams_ND) > TOGETHER):
        in_threads(read, range(0, len(streams_ND), TOGETHER))
    said = [
        LensToken(best, token_text(model, best), chance) for best, chance in zip(best_N.tolist(), chance_N, strict=True)
    ]
    return [said[layer * tokens : (layer + 1) * tokens] for layer in range(layers)]
