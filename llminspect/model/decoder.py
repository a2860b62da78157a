"""The decoder that today's families share: RMS norms, rotary positions, grouped heads, gated feed forward.

What differs between the families is data: which arrays a layer has (biases, norms of queries and keys, norms after a
step, sinks, experts) and what the configuration says (windows, caps, scales). Each step does what its arrays ask for.
Touvron et al. 2023, "LLaMA", section 2.2; the families' own files name the sources of what they add.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core import attention
from llminspect.core.array import mapped, namespace
from llminspect.core.cache import Cache, extend, span
from llminspect.core.embedding import look_up
from llminspect.core.feedforward import GatedUnit, Glu, gated
from llminspect.core.mask import causal_mask, hide
from llminspect.core.mixture import mixture
from llminspect.core.norm import rms_norm
from llminspect.core.position.rotary import Divided, Rotary, rotary_angles, rotate_halves
from llminspect.core.tap import NO_TAP
from llminspect.core.threads import SHARED_FROM, by_rows, sharing
from llminspect.core.unembed import logits
from llminspect.model.spec import Pass, Sizes
from llminspect.model.steps import output_matrix

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from llminspect.core.array import Array
    from llminspect.core.cache import LayerCache
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params


SWIGLU = Glu("silu")


@dataclass(frozen=True)
class Experts:
    """How a model with several feed-forward networks a layer uses them."""

    chosen: int
    """How many of them work on a token."""
    among_chosen: bool = True
    """Whether their weights are a softmax over the chosen alone."""
    plain_width: int | None = None
    """Feed-forward width of the layers that have only one."""
    plain_layers: tuple[int, ...] = ()
    """Those layers."""


@dataclass(frozen=True)
class DecoderConfig:
    sizes: Sizes
    norm_epsilon: float
    scale: float
    """Of the scores."""
    rotary: Rotary
    tied: bool
    """Whether the embedding serves as the output matrix as well, where the file has none."""
    local_rotary: Rotary | None = None
    """That of the layers with a window, where they have another."""
    unturned: tuple[int, ...] = ()
    """The layers whose attention knows no positions."""
    window: int | None = None
    """How many tokens a token sees, itself included, in the layers that do not let it see all before it."""
    windowed: tuple[int, ...] = ()
    """Those layers."""
    biased: tuple[str, ...] | None = ()
    """The linear maps of a layer that have a bias; None: those whose bias the file holds."""
    unit: GatedUnit = SWIGLU
    embedding_scale: float = 1.0
    score_cap: float | None = None
    logit_cap: float | None = None
    experts: Experts | None = None
    causal: bool = True

    def rotary_of(self, index: int) -> Rotary | None:
        if index in self.unturned:
            return None
        return self.local_rotary if self.local_rotary is not None and index in self.windowed else self.rotary

    def window_of(self, index: int) -> int | None:
        return self.window if index in self.windowed else None


def forward(
    params: Params,
    config: DecoderConfig,
    ids_T: Array,
    tap: Tap,
    cache: Cache | None = None,
    hidden_S: Array | None = None,
) -> Pass:
    xp, tokens = namespace(ids_T), ids_T.shape[-1]
    start, keys, first = span(cache, tokens)
    stream_TD = look_up(params["embedding.weight"], ids_T)
    if config.embedding_scale != 1:
        stream_TD = stream_TD * config.embedding_scale
    stream_TD = tap("embedding.output", stream_TD)
    rotations = {
        rotary: rotary_angles(stream_TD, start, tokens, rotary, divisors(params, rotary, start + tokens))
        for rotary in (config.rotary, config.local_rotary)
        if rotary is not None
    }
    masks = {
        window: hide(causal_mask(xp, tokens, keys, window, first), hidden_S)
        for window in {config.window_of(index) for index in range(config.sizes.L)}
    }

    shared = isinstance(stream_TD, np.ndarray) and tokens >= SHARED_FROM and not _watched(tap, config.sizes)

    def step(
        index: int, layer: Mapping[str, Array], stream_TD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, LayerCache]:
        name = f"layers.{index}"
        within = NO_TAP if shared else tap
        rotary = config.rotary_of(index)
        rotation_TP = () if rotary is None else rotations[rotary]

        stream_TD = tap(f"{name}.input", stream_TD)
        read = partial(into_attention, layer, config, within, name)
        query_HTE, key_KTE, value_KTE = by_rows(read, stream_TD, *rotation_TP, rows=tokens)
        seen = extend(cache, index, key_KTE, value_KTE)
        mixed_HTE = attention.attend(
            query_HTE,
            seen.key_KSE,
            seen.value_KSE,
            scale=config.scale,
            mask_TS=masks[config.window_of(index)],
            cap=config.score_cap,
            sink_H=layer.get("attention.sink"),
            tap=tap,
            name=f"{name}.attention",
        )
        write = partial(out_of_attention, layer, config, within, name)
        (stream_TD,) = by_rows(write, stream_TD, mixed_HTE, rows=tokens)
        return tap(f"{name}.output", stream_TD), seen

    def layer_kind(index: int) -> Hashable:
        return config.rotary_of(index), config.window_of(index)

    with sharing(shared):
        stream_TD, seen = params.through(step, stream_TD, config.sizes.L, tap, cache, layer_kind=layer_kind)
    return Pass(stream_TD, Cache(start + tokens, seen))


def into_attention(
    layer: Mapping[str, Array], config: DecoderConfig, tap: Tap, name: str, stream_TD: Array, *rotation_TP: Array
) -> tuple[Array, Array, Array]:
    """What the attention of a layer works on: queries [..., H, T, E], keys and values [..., K, T, E]."""
    normed_TD = normed(layer, "attention.norm", stream_TD, config, tap, name)
    return project(layer, config, normed_TD, rotation_TP, tap, f"{name}.attention")


def out_of_attention(
    layer: Mapping[str, Array], config: DecoderConfig, tap: Tap, name: str, stream_TD: Array, mixed_HTE: Array
) -> tuple[Array]:
    """The stream [..., T, D] after what the heads mixed and what the feed-forward step makes of it were added."""
    added_TD = mapped(layer, "attention.output", attention.merge_heads(mixed_HTE))
    added_TD = tap(f"{name}.attention.output", normed_after(layer, "attention", added_TD, config, tap, name))
    stream_TD = tap(f"{name}.middle", stream_TD + added_TD)
    normed_TD = normed(layer, "feedforward.norm", stream_TD, config, tap, name)
    added_TD = feed_forward(layer, config, normed_TD, tap, f"{name}.feedforward")
    added_TD = tap(f"{name}.feedforward.output", normed_after(layer, "feedforward", added_TD, config, tap, name))
    return (stream_TD + added_TD,)


def steps_within(experts: int) -> Iterator[str]:
    """The steps of a layer that are made for some tokens at a time where nobody looks at any of them."""
    yield from ("attention.norm", "middle", "feedforward.norm")
    for part in ("query", "key"):
        yield from (f"attention.{part}.projected", f"attention.{part}.normed", f"attention.{part}")
    yield from (f"attention.{step}" for step in ("value", "scores", "scaled", "capped", "masked", "unnormed", "output"))
    yield from (f"feedforward.{step}" for step in ("gate", "up", "activation", "unnormed", "output"))
    yield from (f"feedforward.router.{step}" for step in ("scores", "weights"))
    for expert in range(experts):
        yield from (f"feedforward.experts.{expert}.{step}" for step in ("gate", "up", "activation", "output"))


def _watched(tap: Tap, sizes: Sizes) -> bool:
    return any(tap.wants(f"layers.{index}.{step}") for index in range(sizes.L) for step in steps_within(sizes.X))


def divisors(params: Params, rotary: Rotary, length: int) -> Array | None:
    """What slows the pairs of the rotation where the file states it as a tensor, [P]."""
    if isinstance(rotary.scaling, Divided):
        return params.get("rotary.divisors.long" if length > rotary.scaling.context else "rotary.divisors.short")
    return params.get("rotary.divisors")


def normed(layer: Mapping[str, Array], part: str, x_TD: Array, config: DecoderConfig, tap: Tap, name: str) -> Array:
    """The norm before a step, if the layer has one."""
    weight_D = layer.get(f"{part}.weight")
    return x_TD if weight_D is None else tap(f"{name}.{part}", rms_norm(x_TD, weight_D, config.norm_epsilon))


def normed_after(
    layer: Mapping[str, Array], step: str, x_TD: Array, config: DecoderConfig, tap: Tap, name: str
) -> Array:
    """The norm between a step and the stream, if the layer has one."""
    weight_D = layer.get(f"{step}.norm_after.weight")
    if weight_D is None:
        return x_TD
    return rms_norm(tap(f"{name}.{step}.unnormed", x_TD), weight_D, config.norm_epsilon)


def project(
    layer: Mapping[str, Array],
    config: DecoderConfig,
    normed_TD: Array,
    rotation_TP: tuple[Array, ...],
    tap: Tap,
    name: str,
) -> tuple[Array, Array, Array]:
    """Queries [..., H, T, E], keys and values [..., K, T, E] of the new tokens, queries and keys turned by position."""

    def positioned(part: str, heads: int) -> Array:
        x_HTE = attention.split_heads(mapped(layer, f"attention.{part}", normed_TD), heads)
        x_HTE = tap(f"{name}.{part}.projected", x_HTE)
        weight = layer.get(f"attention.{part}.norm.weight")
        if weight is not None:
            x_HTE = tap(f"{name}.{part}.normed", norm_heads(x_HTE, weight, config.norm_epsilon))
        return tap(f"{name}.{part}", rotate_halves(x_HTE, *rotation_TP) if rotation_TP else x_HTE)

    query_HTE, key_KTE = positioned("query", config.sizes.H), positioned("key", config.sizes.K)
    value_KTE = attention.split_heads(mapped(layer, "attention.value", normed_TD), config.sizes.K)
    return query_HTE, key_KTE, tap(f"{name}.value", value_KTE)


def norm_heads(x_HTE: Array, weight: Array, epsilon: float) -> Array:
    """Each head by itself where the weight is [E], all heads of a token at once where it is [H·E]."""
    *_, heads, _, width = x_HTE.shape
    if weight.shape[-1] == width:
        return rms_norm(x_HTE, weight, epsilon)
    return attention.split_heads(rms_norm(attention.merge_heads(x_HTE), weight, epsilon), heads)


def feed_forward(layer: Mapping[str, Array], config: DecoderConfig, normed_TD: Array, tap: Tap, name: str) -> Array:
    """Through one network, or through those of many that the layer's router chooses."""
    if config.experts is not None and "feedforward.router.weight" in layer:
        arrays = {key.removeprefix("feedforward."): array for key, array in layer.items()}
        return mixture(
            normed_TD,
            arrays,
            chosen=config.experts.chosen,
            among_chosen=config.experts.among_chosen,
            unit=config.unit,
            tap=tap,
            name=name,
        )
    return gated(normed_TD, layer, "feedforward", unit=config.unit, tap=tap, name=name)


def readout(params: Params, config: DecoderConfig, stream_TD: Array, tap: Tap) -> Array:
    hidden_TD = tap("final.norm", rms_norm(stream_TD, params["final.norm.weight"], config.norm_epsilon))
    logits_TV = logits(hidden_TD, output_matrix(params))
    if config.logit_cap is not None:
        logits_TV = attention.soft_cap(tap("final.uncapped", logits_TV), config.logit_cap)
    return tap("final.logits", logits_TV)
