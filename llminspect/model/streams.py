"""Several residual streams side by side: a layer works on one of them, guesses the others, and corrects its guess.

Baykal et al. 2023, "Alternating Updates for Efficient Transformers" (AltUp), algorithm 1; Gemma Team 2025, "Gemma 3n".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llminspect.core.array import Array, linear, mapped, namespace
from llminspect.core.cache import Cache
from llminspect.core.feedforward import ACTIVATIONS
from llminspect.core.tap import Tap
from llminspect.model.config import Config
from llminspect.model.layer import norm
from llminspect.model.params import LayerStep, Params

LEAST = 1e-5
"""What keeps the mean square of a stream from being nought where it is divided by."""


def through_streams(
    params: Params, config: Config, step: LayerStep, stream_TD: Array, inputs_TLN: Array, tap: Tap, cache: Cache | None
) -> tuple[Array, Sequence[Any]]:
    """What the head reads of all streams [..., T, D] after the last layer, and what the layers have seen.

    `step` is what a layer does with its one stream. Taps: docs/shapes.md, `layers.{n}.streams.*`.
    """

    def of_all(
        index: int, arrays: Mapping[str, Array], streams_ATD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, Any]:
        name = f"layers.{index}"
        streams_ATD = _seen(config, streams_ATD, f"{name}.input", tap)
        predicted_ATD = predicted(arrays, config, streams_ATD, name, tap)
        active_TD, seen = step(index, arrays, predicted_ATD[..., config.active, :, :], cache, tap)
        streams_ATD = corrected(arrays, config, predicted_ATD, active_TD, name, tap)
        added_TD = _of_tokens(arrays, config, streams_ATD, inputs_TLN[..., index, :], name, tap)
        first_ATD, others_ATD = streams_ATD[..., :1, :, :], streams_ATD[..., 1:, :, :] + added_TD[..., None, :, :]
        streams_ATD = namespace(streams_ATD).concat([first_ATD, others_ATD], axis=-3)
        streams_ATD = _seen(config, tap(f"{name}.streams.output", streams_ATD), f"{name}.output", tap)
        if tap.wants(f"{name}.combined"):
            tap(f"{name}.combined", combined(params, streams_ATD))
        return streams_ATD, seen

    streams_ATD, seen = params.through(of_all, spread(params, stream_TD, tap), config.sizes.L, tap, cache)
    return combined(params, streams_ATD), seen


def spread(params: Params, stream_TD: Array, tap: Tap) -> Array:
    """The streams as they begin, [..., A, T, D]: the first is the embedding, the others are made of it."""
    xp, stream_1TD = namespace(stream_TD), stream_TD[..., None, :, :]
    others_ATD = _as_long_as(stream_1TD, stream_1TD @ params["streams.into.weight"].swapaxes(-1, -2))
    return tap("embedding.streams", xp.concat([stream_1TD, others_ATD], axis=-3))


def combined(params: Params, streams_ATD: Array) -> Array:
    """What the head reads, [..., T, D]: the mean of the first stream and of the others, made as long as that one."""
    first_1TD, others_ATD = streams_ATD[..., :1, :, :], streams_ATD[..., 1:, :, :]
    others_ATD = _as_long_as(first_1TD, others_ATD @ params["streams.out_of.weight"].swapaxes(-1, -2))
    sum_TD: Array = first_1TD[..., 0, :, :] + others_ATD.sum(axis=-3)
    mean_TD: Array = sum_TD / streams_ATD.shape[-3]
    return mean_TD


def predicted(arrays: Mapping[str, Array], config: Config, streams_ATD: Array, name: str, tap: Tap) -> Array:
    """What the streams are expected to be after the layer: each plus a mix of all, by what the active one asks for."""
    count, routed_TA = config.streams, _routed(arrays, config, streams_ATD[..., config.active, :, :])
    routed_TA = tap(f"{name}.streams.router", routed_TA)
    mix_TAA = linear(routed_TA, arrays["streams.predict.weight"]).reshape(*routed_TA.shape[:-1], count, count)
    mixed_TAD = mix_TAA @ streams_ATD.swapaxes(-2, -3)
    return tap(f"{name}.streams.predicted", streams_ATD + mixed_TAD.swapaxes(-2, -3))


def corrected(
    arrays: Mapping[str, Array], config: Config, predicted_ATD: Array, active_TD: Array, name: str, tap: Tap
) -> Array:
    """The prediction, and of how far the layer's own result is from it so much as each stream takes."""
    new_TD = active_TD - predicted_ATD[..., config.active, :, :]
    share_TA = linear(_routed(arrays, config, active_TD), arrays["streams.correct.weight"]) + 1
    share_TA = tap(f"{name}.streams.share", share_TA)
    taken_ATD = share_TA.swapaxes(-1, -2)[..., None] * new_TD[..., None, :, :]
    return tap(f"{name}.streams.corrected", predicted_ATD + taken_ATD)


def _routed(arrays: Mapping[str, Array], config: Config, stream_TD: Array) -> Array:
    """What a stream asks of each stream, between −1 and 1, [..., T, A]."""
    read_TD = norm(arrays, "streams.router.norm", stream_TD, config) / config.sizes.D
    routed_TA: Array = namespace(stream_TD).tanh(linear(read_TD, arrays["streams.router.weight"]))
    return routed_TA


def _of_tokens(
    arrays: Mapping[str, Array], config: Config, streams_ATD: Array, inputs_TN: Array, name: str, tap: Tap
) -> Array:
    """What the layer's own vectors of the tokens add to all streams but the first, [..., T, D]."""
    read_TD = streams_ATD[..., config.active, :, :] * arrays["streams.scale"]
    gate_TN = tap(f"{name}.per_layer.gate", mapped(arrays, "per_layer.gate", read_TD))
    activation_TN = tap(f"{name}.per_layer.activation", ACTIVATIONS[config.ungated](gate_TN) * inputs_TN)
    unnormed_TD = tap(f"{name}.per_layer.unnormed", mapped(arrays, "per_layer.output", activation_TN))
    return tap(f"{name}.per_layer.output", norm(arrays, "per_layer.norm_after", unnormed_TD, config))


def _seen(config: Config, streams_ATD: Array, step: str, tap: Tap) -> Array:
    """The streams after a tap saw, and perhaps changed, the active one."""
    active_TD = streams_ATD[..., config.active, :, :]
    changed_TD = tap(step, active_TD)
    if changed_TD is active_TD:
        return streams_ATD
    parts = [streams_ATD[..., : config.active, :, :], changed_TD[..., None, :, :]]
    changed_ATD: Array = namespace(streams_ATD).concat([*parts, streams_ATD[..., config.active + 1 :, :, :]], axis=-3)
    return changed_ATD


def _as_long_as(first_1TD: Array, others_ATD: Array) -> Array:
    """Each token's vectors scaled to the length of its first one."""
    xp = namespace(first_1TD)
    wanted_1T1 = xp.sqrt(xp.mean(first_1TD * first_1TD, axis=-1, keepdims=True))
    squares_AT1 = xp.mean(others_ATD * others_ATD, axis=-1, keepdims=True)
    scaled_ATD: Array = others_ATD * wanted_1T1 / xp.sqrt(xp.maximum(squares_AT1, xp.full_like(squares_AT1, LEAST)))
    return scaled_ATD
