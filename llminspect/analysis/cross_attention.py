"""`attend` on an encoder–decoder: the target's own attention, that to the source, and the encoder's.

The encoder is looked at as a model of its own that sees both ways, with everything that any model's attention has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from llminspect.analysis.passes import run_until
from llminspect.analysis.result import Dims
from llminspect.core.array import Array
from llminspect.core.attention_measures import entropy
from llminspect.core.cache import Cache, Pass
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Tap, Under, Visit
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.attention import Head, Overview

CROSS_WEIGHTS = "cross_attention.weights"


@dataclass(frozen=True)
class CrossHead:
    """One head's attention to the source: a row for each token of the target, a column for each of the source."""

    layer: int
    head: int
    weights: Annotated[Array, Dims("T S")]


@dataclass
class CrossAttention:
    """What the target takes from the source, in the layers of the decoder."""

    entropy: Annotated[Array, Dims("L H")]
    """How evenly each head spreads its weight over the source: 0 on one token, 1 on all the same."""
    mean: Annotated[Array, Dims("T S")]
    """The mean of the weights of all heads."""
    heads: list[CrossHead] = field(default_factory=list)
    """Those that were chosen, or all."""


@dataclass(frozen=True)
class EncoderAttention:
    """The attention of the source's tokens to one another."""

    n_layers: int
    n_heads: int
    heads: list[Head]
    overview: Overview | None = None


def encoder_of(model: Model) -> Model:
    """The encoder as a model of its own: the source's ids in, its stream out."""
    from llminspect.model.heads import no_words
    from llminspect.model.params import OnDemand, Params

    whole, arrays = model.config, model.params.arrays
    sizes = whole.sizes
    layers: int = whole.encoder_layers  # type: ignore[attr-defined]
    heads: int = getattr(whole, "encoder_heads", sizes.H)
    keys, width = (sizes.K, sizes.E) if heads == sizes.H else (heads, sizes.E * sizes.H // heads)
    config = replace(whole, sizes=replace(sizes, L=layers, H=heads, K=keys, E=width), causal=False)

    # `encode_source` ends with the final norm.
    stack = [name for name in arrays if name.startswith("encoder.") and not name.startswith("encoder.final.")]
    stack.append("embedding.weight")
    named: dict[str, Callable[[], Array]] = {
        name.removeprefix("encoder."): partial(arrays.__getitem__, name) for name in stack
    }

    def forward(
        params: Params, config: Any, ids_T: Array, tap: Tap, cache: Cache | None = None, hidden_S: Array | None = None
    ) -> Pass:
        read = model.encode_source(ids_T, Under("encoder.", tap), hidden_S)
        assert read.source is not None
        return Pass(read.source.stream_SD, None)

    architecture = replace(
        model.architecture, forward=forward, readout=no_words, capabilities=frozenset({"encode"}), requires={}
    )
    # `forward` above asks the whole model, which runs on its own engine.
    return replace(model, architecture=architecture, config=config, params=Params(OnDemand(named)), engine=None)


def watch_cross(decoder: Model, ids: Sequence[int], keep: Collection[tuple[int, int]]) -> CrossAttention:
    """One pass over the target, of whose attention to the source only `keep` is kept whole."""
    sizes, ids_T = decoder.config.sizes, np.asarray(ids)
    entropies: list[Array] = []
    sum_TS: Array = np.zeros((), np.float32)
    heads: list[CrossHead] = []

    def look(name: str, weights_HTS: Array) -> None:
        nonlocal sum_TS
        layer = int(name.split(".")[1])
        entropies.append(entropy(weights_HTS, ids_T, False))
        sum_TS = weights_HTS.sum(0) + sum_TS
        heads.extend(CrossHead(at, head, weights_HTS[head].copy()) for at, head in keep if at == layer)

    run_until(decoder, ids, Visit(look, f"layers.*.{CROSS_WEIGHTS}"), [f"layers.{sizes.L - 1}.{CROSS_WEIGHTS}"])
    return CrossAttention(np.stack(entropies), sum_TS / (sizes.L * sizes.H), heads)
