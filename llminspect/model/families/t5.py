"""T5: an encoder–decoder whose attention knows only how far apart two tokens stand; plain (1.0) or gated (1.1).

Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.1; Shazeer 2020 for the gated form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.core.array import namespace
from llminspect.core.cache import Cache, Source, span
from llminspect.core.embedding import look_up
from llminspect.core.feedforward import Glu, gated
from llminspect.core.mask import causal_mask, hide
from llminspect.core.norm import rms_norm
from llminspect.core.position import relative
from llminspect.core.unembed import logits
from llminspect.model.spec import Pass, Sizes
from llminspect.model.steps import (
    cross_attention,
    given_source,
    of_source,
    output_matrix,
    plain_feed_forward,
    self_attention,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import LayerCache, Span
    from llminspect.core.mask import Mask
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params


@dataclass(frozen=True)
class T5Config:
    sizes: Sizes
    """L counts the decoder's layers."""
    encoder_layers: int
    norm_epsilon: float
    buckets: int
    """How many distances the attention tells apart."""
    farthest: int
    """The distance from which on all are alike."""
    start_id: int
    """What the decoder starts from."""
    gated: bool | None
    """None: the file's tensors say."""
    activation: str | None
    """None: gelu_tanh where the feed-forward step is gated, relu where it is not."""
    tied: bool | None
    """Whether the embedding, divided by √D, serves as the output matrix. None: where the file has no other."""
    causal: bool = True


def encode_source(params: Params, config: T5Config, ids_S: Array, tap: Tap, hidden_S: Array | None = None) -> Cache:
    sizes, tokens = config.sizes, ids_S.shape[-1]
    stream_SD = tap("encoder.embedding.output", look_up(params["embedding.weight"], ids_S))
    bias_HSS = relative_bias(params, config, "encoder.relative.weight", tokens, span(None, tokens), True, tap)
    mask_SS = hide(None, hidden_S)

    def step(
        index: int, layer: Mapping[str, Array], stream_SD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, None]:
        name = f"encoder.layers.{index}"
        stream_SD = tap(f"{name}.input", stream_SD)
        stream_SD, _ = attend_to_self(layer, config, stream_SD, tap, name, mask_SS, bias_HSS)
        stream_SD = feed_forward(layer, config, stream_SD, tap, name)
        return stream_SD, None

    stream_SD, _ = params.through(step, stream_SD, config.encoder_layers, tap, stack="encoder.layers")
    final_SD = tap("encoder.final.norm", rms_norm(stream_SD, params["encoder.final.norm.weight"], config.norm_epsilon))
    return Cache(source=Source(final_SD, of_source(params, final_SD, sizes.L, sizes.H, tap), hidden_S))


def forward(
    params: Params,
    config: T5Config,
    ids_T: Array,
    tap: Tap,
    cache: Cache | None = None,
    hidden_S: Array | None = None,
) -> Pass:
    """The target so far; the cache holds the source (`encode_source`). Raises UsageError without one."""
    cache, source = given_source(cache)
    xp, sizes, tokens = namespace(ids_T), config.sizes, ids_T.shape[-1]
    now = span(cache, tokens)
    stream_TD = tap("embedding.output", look_up(params["embedding.weight"], ids_T))
    bias_HTS = relative_bias(params, config, "relative.weight", tokens, now, False, tap)
    mask_TS = hide(causal_mask(xp, tokens, now.keys, first=now.first), hidden_S)

    def step(
        index: int, layer: Mapping[str, Array], stream_TD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, LayerCache]:
        name = f"layers.{index}"
        assert cache is not None and cache.source is not None
        stream_TD = tap(f"{name}.input", stream_TD)
        stream_TD, seen = attend_to_self(layer, config, stream_TD, tap, name, mask_TS, bias_HTS, cache, index)
        normed_TD = normed(layer, "cross_attention.norm", stream_TD, config, tap, name)
        added_TD = cross_attention(layer, normed_TD, sizes.H, cache.source, index, tap, name, scale=1.0)
        stream_TD = tap(f"{name}.crossed", stream_TD + added_TD)
        stream_TD = feed_forward(layer, config, stream_TD, tap, name)
        return stream_TD, seen

    stream_TD, seen = params.through(step, stream_TD, sizes.L, tap, cache)
    return Pass(stream_TD, Cache(now.start + tokens, seen, source))


def relative_bias(
    params: Params, config: T5Config, name: str, queries: int, now: Span, both_ways: bool, tap: Tap
) -> Array:
    """What the distance of two tokens adds to their scores, the same in every layer, [H, T, S]."""
    weight_BH = params[name]
    xp = namespace(weight_BH)
    buckets_TS = relative.buckets_of(xp, queries, now, config.buckets, config.farthest, both_ways)
    return tap(name.removesuffix(".weight"), relative.bias_of(weight_BH, buckets_TS))


def normed(layer: Mapping[str, Array], part: str, x_TD: Array, config: T5Config, tap: Tap, name: str) -> Array:
    return tap(f"{name}.{part}", rms_norm(x_TD, layer[f"{part}.weight"], config.norm_epsilon))


def attend_to_self(
    layer: Mapping[str, Array],
    config: T5Config,
    stream_TD: Array,
    tap: Tap,
    name: str,
    mask_TS: Mask | None,
    bias_HTS: Array,
    cache: Cache | None = None,
    index: int = 0,
) -> tuple[Array, LayerCache]:
    """T5 does not scale the scores."""
    normed_TD = normed(layer, "attention.norm", stream_TD, config, tap, name)
    added_TD, seen = self_attention(
        layer,
        normed_TD,
        config.sizes.H,
        tap,
        name,
        scale=1.0,
        mask_TS=mask_TS,
        bias_HTS=bias_HTS,
        cache=cache,
        index=index,
    )
    return tap(f"{name}.middle", stream_TD + added_TD), seen


def feed_forward(layer: Mapping[str, Array], config: T5Config, stream_TD: Array, tap: Tap, name: str) -> Array:
    normed_TD = normed(layer, "feedforward.norm", stream_TD, config, tap, name)
    if "feedforward.gate.weight" in layer:
        unit, step = Glu(config.activation or "gelu_tanh"), f"{name}.feedforward"
        added_TD = gated(normed_TD, layer, "feedforward", unit=unit, tap=tap, name=step)
        added_TD = tap(f"{name}.feedforward.output", added_TD)
    else:
        added_TD = plain_feed_forward(layer, normed_TD, config.activation or "relu", tap, name)
    return tap(f"{name}.output", stream_TD + added_TD)


def readout(params: Params, config: T5Config, stream_TD: Array, tap: Tap) -> Array:
    hidden_TD = rms_norm(stream_TD, params["final.norm.weight"], config.norm_epsilon)
    if config.tied or (config.tied is None and "unembedding.weight" not in params):
        hidden_TD = hidden_TD * config.sizes.D**-0.5
    hidden_TD = tap("final.norm", hidden_TD)
    return tap("final.logits", logits(hidden_TD, output_matrix(params)))
