"""Marian, the translators of OPUS-MT: the Transformer as it was first written down.

Vaswani et al. 2017, "Attention Is All You Need": sinusoidal positions, the norm after each sum, an encoder and a
decoder with one embedding. Junczys-Dowmunt et al. 2018, "Marian".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.core.array import namespace
from llminspect.core.cache import Cache, Source, span
from llminspect.core.embedding import look_up
from llminspect.core.mask import causal_mask, hide
from llminspect.core.position.sinusoidal import sinusoids
from llminspect.core.unembed import logits
from llminspect.model.spec import Pass, Sizes
from llminspect.model.steps import (
    cross_attention,
    encoder_layer,
    given_source,
    normed_sum,
    of_source,
    plain_feed_forward,
    self_attention,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import LayerCache
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params

NORM_EPSILON = 1e-5
"""Fixed in the family's definition."""


@dataclass(frozen=True)
class MarianConfig:
    sizes: Sizes
    """Of the decoder."""
    encoder_layers: int
    encoder_heads: int
    encoder_width: int
    """F of the encoder."""
    activation: str
    embedding_scale: float
    start_id: int
    """What the decoder starts from."""
    causal: bool = True


def embed(params: Params, config: MarianConfig, ids_T: Array, start: int, tap: Tap, name: str) -> Array:
    """A scaled row of the embedding and the position's waves, added, [..., T, D]."""
    tokens_TD = look_up(params["embedding.weight"], ids_T)
    tokens_TD = tap(f"{name}.tokens", tokens_TD * config.embedding_scale)
    waves_TD = sinusoids(tokens_TD, start, ids_T.shape[-1], config.sizes.D)
    return tap(f"{name}.output", tokens_TD + tap(f"{name}.positions", waves_TD))


def encode_source(params: Params, config: MarianConfig, ids_S: Array, tap: Tap, hidden_S: Array | None = None) -> Cache:
    sizes, heads = config.sizes, config.encoder_heads
    stream_SD = embed(params, config, ids_S, 0, tap, "encoder.embedding")
    mask_SS = hide(None, hidden_S)

    def step(
        index: int, layer: Mapping[str, Array], stream_SD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, None]:
        name = f"encoder.layers.{index}"
        stream_SD = encoder_layer(layer, stream_SD, heads, config.activation, NORM_EPSILON, tap, name, mask_SS)
        return stream_SD, None

    stream_SD, _ = params.through(step, stream_SD, config.encoder_layers, tap, stack="encoder.layers")
    return Cache(source=Source(stream_SD, of_source(params, stream_SD, sizes.L, sizes.H, tap), hidden_S))


def forward(
    params: Params,
    config: MarianConfig,
    ids_T: Array,
    tap: Tap,
    cache: Cache | None = None,
    hidden_S: Array | None = None,
) -> Pass:
    """The target so far; the cache holds the source (`encode_source`). Raises UsageError without one."""
    cache, source = given_source(cache)
    xp, sizes, tokens = namespace(ids_T), config.sizes, ids_T.shape[-1]
    now = span(cache, tokens)
    stream_TD = embed(params, config, ids_T, now.start, tap, "embedding")
    mask_TS = hide(causal_mask(xp, tokens, now.keys, first=now.first), hidden_S)
    scale = sizes.E**-0.5

    def step(
        index: int, layer: Mapping[str, Array], stream_TD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, LayerCache]:
        name = f"layers.{index}"
        assert cache is not None and cache.source is not None
        stream_TD = tap(f"{name}.input", stream_TD)
        added_TD, seen = self_attention(
            layer, stream_TD, sizes.H, tap, name, scale=scale, mask_TS=mask_TS, cache=cache, index=index
        )
        stream_TD = normed_sum(layer, "middle", stream_TD, added_TD, NORM_EPSILON, tap, name)
        added_TD = cross_attention(layer, stream_TD, sizes.H, cache.source, index, tap, name, scale=scale)
        stream_TD = normed_sum(layer, "crossed", stream_TD, added_TD, NORM_EPSILON, tap, name)
        added_TD = plain_feed_forward(layer, stream_TD, config.activation, tap, name)
        stream_TD = normed_sum(layer, "output", stream_TD, added_TD, NORM_EPSILON, tap, name)
        return stream_TD, seen

    stream_TD, seen = params.through(step, stream_TD, sizes.L, tap, cache)
    return Pass(stream_TD, Cache(now.start + tokens, seen, source))


def readout(params: Params, config: MarianConfig, stream_TD: Array, tap: Tap) -> Array:
    return tap("final.logits", logits(stream_TD, params["embedding.weight"], params["unembedding.bias"]))
