"""The pass of every family, encoders and decoders: through layers that their arrays and the configuration tell apart.

What differs between the families is data: which arrays there are (`layer.py` says what each asks for), and what the
configuration says (`config.Config`): the kind of norm, positions, windows, caps, scales.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.core import attention
from llminspect.core.array import Array, mapped, namespace
from llminspect.core.cache import Cache, LayerCache, Pass, Source, Span, StateCache, extend, span, state_before
from llminspect.core.mask import Mask, causal_mask, hide, window_mask
from llminspect.core.positions import alibi_bias, relative_bias, rounded_alibi
from llminspect.core.rotary import Divided, Rotary, rotary_angles
from llminspect.core.tap import NO_TAP, Tap
from llminspect.core.threads import SHARED_FROM, by_rows, sharing
from llminspect.core.unembed import logits
from llminspect.errors import ModelError, UsageError
from llminspect.model.beside import convolving
from llminspect.model.config import Config
from llminspect.model.embedding import embed
from llminspect.model.layer import Layer, distance_table, final_norm, norm
from llminspect.model.lending import borrowed, per_layer_inputs
from llminspect.model.params import Params
from llminspect.model.states import Reading, through_state
from llminspect.model.streams import through_streams
from llminspect.model.watched import watched


def forward(
    params: Params, config: Config, ids_T: Array, tap: Tap, cache: Cache | None = None, hidden_S: Array | None = None
) -> Pass:
    """See `spec.Forward`. Raises UsageError for an encoder–decoder without a source.

    Where a token sees those after it nothing can be kept for a longer text: there is no cache.
    """
    source = None if cache is None else cache.source
    if source is None and "layers.0.cross_attention.query.weight" in params:
        raise UsageError("this model turns a source text into another and was given no source")
    if cache is not None and not config.causal:
        raise UsageError("this model reads a text both ways: nothing can be kept for a longer one")
    done = None if hidden_S is not None or tap is not NO_TAP else one_more(params, config, ids_T, cache)
    stream_TD, seen = done or through(params, config, ids_T, tap, cache, hidden_S)
    if "pooler.weight" in params and tap.wants("final.pooled"):
        # What the first token says of the whole text; no step of this program goes on from it.
        tap("final.pooled", namespace(stream_TD).tanh(mapped(params, "pooler", stream_TD[..., 0, :])))
    length = span(cache, ids_T.shape[-1]).start + ids_T.shape[-1]
    return Pass(stream_TD, Cache(length, seen, source) if config.causal else None)


def encode_source(params: Params, config: Config, ids_S: Array, tap: Tap, hidden_S: Array | None = None) -> Cache:
    """See `spec.EncodeSource`."""
    stream_SD, _ = through(params, config.encoder, ids_S, tap, None, hidden_S, "encoder.")
    if "encoder.final.norm.weight" in params:
        stream_SD = tap("encoder.final.norm", norm(params, "encoder.final.norm", stream_SD, config))

    def offer(
        index: int, arrays: Mapping[str, Array], stream_SD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, LayerCache]:
        layer = Layer(arrays, config, index, f"layers.{index}", tap)
        keys, _ = config.heads_of(index)
        key_KSE = layer.heads("cross_attention.key", stream_SD, keys)
        return stream_SD, LayerCache(key_KSE, layer.heads("cross_attention.value", stream_SD, keys))

    return Cache(source=Source(stream_SD, params.through(offer, stream_SD, config.sizes.L, tap)[1], hidden_S))


def one_more(params: Params, config: Config, ids_T: Array, cache: Cache | None) -> tuple[Array, Sequence[Any]] | None:
    """As `through`, of one token after others at which nobody looks, where something takes it through all layers at
    one stroke."""
    if params.one_token is None or ids_T.shape != (1,) or cache is None or not cache.layers or cache.places is not None:
        return None
    stream_1D = embed(params, config, ids_T, cache.length, NO_TAP)
    return params.one_token(stream_1D, rotations_of(params, config, stream_1D, cache.length)[id(config.rotary)], cache)


def through(
    params: Params, config: Config, ids_T: Array, tap: Tap, cache: Cache | None, hidden_S: Array | None, front: str = ""
) -> tuple[Array, Sequence[Any]]:
    """The stream [..., T, D] after all layers of a stack, and what they have seen; `front` stands before its names."""
    now, tokens, layers = span(cache, ids_T.shape[-1]), ids_T.shape[-1], config.sizes.L
    stream_TD = embed(params, config, ids_T, now.start, tap, front, hidden_S)
    entering, leaving = ("input", "output") if config.streams == 1 else ("active", "activated")
    inputs_TLN = per_layer_inputs(params, config, ids_T, stream_TD, tap) if config.per_layer else None
    laid_down: dict[str, Array] = {}
    lent: dict[int, LayerCache] | None = {} if config.borrowing else None
    rotations, masks = rotations_of(params, config, stream_TD, now.start), masks_of(ids_T, config, now, hidden_S)
    bias_HTS = distance_bias(params.get(f"{front}relative.weight"), config, stream_TD, now, tap, f"{front}relative")
    distances_BD = distance_table(params, config) if "distances.weight" in params else None
    shared = isinstance(stream_TD, np.ndarray) and tokens >= SHARED_FROM and not watched(tap, config, front)

    def step(
        index: int, arrays: Mapping[str, Array], stream_TD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, LayerCache | StateCache | None]:
        name, rotary = f"{front}layers.{index}", config.rotary_of(index)
        source, seen_by = None if cache is None else cache.source, NO_TAP if shared else tap
        layer = Layer(arrays, config, index, name, seen_by, source, distances_BD)
        stream_TD = tap(f"{name}.{entering}", stream_TD)
        mixed: tuple[Array, ...] = ()
        seen: LayerCache | StateCache = StateCache()
        pairs: LayerCache | None = None
        if config.attends(index):
            rotation_TP, mask_TS = () if rotary is None else rotations[id(rotary)], masks[config.window_of(index)]
            added_HTS, table_BH = bias_HTS, arrays.get("attention.relative.weight")
            if table_BH is not None:
                added_HTS = distance_bias(table_BH, config, stream_TD, now, tap, f"{name}.attention.relative")
            mixed_HTE, pairs = attended(layer, stream_TD, rotation_TP, cache, mask_TS, added_HTS, tap, lent)
            mixed, seen = (mixed_HTE,), pairs
        state = config.state_of(index)
        if state is not None:
            (read_TD,) = by_rows(layer.into_state, stream_TD, rows=tokens)
            kept_before, its_name = state_before(cache, index), f"{name}.state"
            reading = Reading(arrays, read_TD, kept_before, tap, its_name, hidden_S, laid_down)
            mixed_TC, kept = through_state(state, reading)
            mixed, seen = (*mixed, mixed_TC), replace(kept, attended=pairs)
        if inputs_TLN is not None and config.streams == 1:
            mixed = (*mixed, inputs_TLN[..., index, :])
        entered_TD, (stream_TD,) = stream_TD, by_rows(layer.out_of_mixers, stream_TD, *mixed, rows=tokens)
        if "convolution.weight" in arrays:
            stream_TD = convolving(layer, entered_TD, hidden_S, stream_TD)
        if "feedforward.shift" in arrays and isinstance(seen, StateCache):
            stream_TD, seen = layer.looking_back(stream_TD, state_before(cache, index), seen, hidden_S)
        return tap(f"{name}.{leaving}", stream_TD), seen if config.causal else None

    def layer_kind(index: int) -> Hashable:
        return config.rotary_of(index), config.window_of(index), config.scale_of(index), config.heads_of(index)

    with sharing(shared):
        if inputs_TLN is not None and config.streams > 1:
            return through_streams(params, config, step, stream_TD, inputs_TLN, tap, cache)
        return params.through(step, stream_TD, layers, tap, cache, stack=f"{front}layers", layer_kind=layer_kind)


def masks_of(ids_T: Array, config: Config, now: Span, hidden_S: Array | None) -> dict[int | None, Mask | None]:
    """What each token may attend to, by the window of the layer."""
    xp, tokens = namespace(ids_T), ids_T.shape[-1]
    return {
        window: hide(
            causal_mask(xp, tokens, now.keys, window, now.first) if config.causal else window_mask(xp, tokens, window),
            hidden_S,
        )
        for window in {config.window_of(index) for index in range(config.sizes.L)}
    }


def rotations_of(params: Params, config: Config, stream_TD: Array, start: int) -> dict[int, tuple[Array, ...]]:
    """cos and sin of each rotation of the model, by its `id`: to hash a rotation takes longer than to turn a token.

    Divisors in a file are never those of the layers with a window."""
    tokens = stream_TD.shape[-2]
    found = {}
    for rotary in (config.local_rotary, config.rotary):
        if rotary is not None:
            by = divisors(params, rotary, start + tokens) if rotary is config.rotary else None
            found[id(rotary)] = rotary_angles(stream_TD, start, tokens, rotary, by)
    return found


def attended(
    layer: Layer,
    stream_TD: Array,
    rotation_TP: Sequence[Array],
    cache: Cache | None,
    mask_TS: Mask | None,
    bias_HTS: Array | None,
    tap: Tap,
    lent: dict[int, LayerCache] | None = None,
) -> tuple[Array, LayerCache]:
    """What the heads of a layer mix, [..., H, T, E], and the keys and values that they have seen.

    `lent`: the keys and values of each layer, where some borrow those of another.
    """
    tokens, index = stream_TD.shape[-2], layer.index
    query_HTE, *made = by_rows(layer.into_attention, stream_TD, *rotation_TP, rows=tokens)
    pair_KTE, gate_HTE = made[:2], made[2:]
    if pair_KTE or lent is None:
        seen = extend(cache, index, *pair_KTE)
    else:
        seen = borrowed(lent[layer.config.keys_of(index)], tokens, tap, f"{layer.name}.attention")
    if lent is not None:
        lent[index] = seen
    if layer.distances_BD is not None:
        bias_HTS = layer.scores_of_distances(query_HTE, seen.key_KSE, layer.distances_BD)
    mixed_HTE = attention.attend(
        query_HTE,
        seen.key_KSE,
        seen.value_KSE,
        scale=layer.config.scale_of(layer.index),
        mask_TS=mask_TS,
        bias_HTS=bias_HTS,
        cap=layer.config.score_cap,
        sink_H=layer.arrays.get("attention.sink"),
        tap=tap,
        name=f"{layer.name}.attention",
    )
    if gate_HTE:
        mixed_HTE = tap(f"{layer.name}.attention.gated", mixed_HTE * gate_HTE[0])
    return mixed_HTE, seen


def distance_bias(
    relative_BH: Array | None, config: Config, stream_TD: Array, now: Span, tap: Tap, name: str
) -> Array | None:
    """What the distance of two tokens adds to their scores, [H, T, S], where it adds anything; `relative_BH`: the
    number of each bucket of distances."""
    tokens, both_ways = stream_TD.shape[-2], not config.causal
    if relative_BH is not None:
        bias_HTS = relative_bias(relative_BH, tokens, now, config.buckets, config.farthest, both_ways)
    elif config.rounded_alibi:
        bias_HTS = rounded_alibi(stream_TD, config.sizes.H, tokens, now.keys, config.scale_of(0))
    elif config.alibi:
        bias_HTS = alibi_bias(stream_TD, config.sizes.H, tokens, now, config.mirrored)
    else:
        return None
    return tap(name, bias_HTS)


def divisors(params: Params, rotary: Rotary, length: int) -> Array | None:
    """What slows the pairs of the rotation where the file states it as a tensor, [P]."""
    if isinstance(rotary.scaling, Divided):
        return params.get("rotary.divisors.long" if length > rotary.scaling.context else "rotary.divisors.short")
    return params.get("rotary.divisors")


def readout(params: Params, config: Config, stream_TD: Array, tap: Tap) -> Array:
    """See `spec.Readout`."""
    normed_TD = final_norm(params, config, stream_TD, tap)
    if "final.projection.weight" in params:
        normed_TD = tap("final.narrow", mapped(params, "final.projection", normed_TD))
    return as_words(params, config, normed_TD, tap)


def as_words(params: Params, config: Config, hidden_TD: Array, tap: Tap) -> Array:
    """The product of what is read out, [..., T, D], with the vocabulary, scaled and capped if it is so, [..., T, V]."""
    logits_TV = logits(hidden_TD, output_matrix(params, config), params.get("unembedding.bias"))
    if config.logit_scale != 1:
        logits_TV = tap("final.unscaled", logits_TV) * config.logit_scale
    if config.logit_cap is not None:
        logits_TV = attention.soft_cap(tap("final.uncapped", logits_TV), config.logit_cap)
    return tap("final.logits", logits_TV)


def output_matrix(params: Params, config: Config) -> Array:
    """[V, D]: that of the file, or the embedding where that serves as one. ModelError where there is neither."""
    unembedding_VD = params.get("unembedding.weight")
    if unembedding_VD is None and not config.tied:
        raise ModelError("this model has no output matrix to predict words with")
    return params["embedding.weight"] if unembedding_VD is None else unembedding_VD
