"""Steps that families with layer norms or an encoder share, each on the arrays of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llminspect.core import attention, feedforward
from llminspect.core.array import mapped, namespace
from llminspect.core.cache import LayerCache, extend
from llminspect.core.embedding import look_up
from llminspect.core.mask import hide
from llminspect.core.norm import layer_norm
from llminspect.core.position.rotary import rotate_halves
from llminspect.core.unembed import logits
from llminspect.errors import UsageError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llminspect.core.array import Array, ByName
    from llminspect.core.cache import Cache, Source
    from llminspect.core.mask import Mask
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params


def layer_normed(arrays: ByName, name: str, x_TD: Array, epsilon: float) -> Array:
    return layer_norm(x_TD, arrays[f"{name}.weight"], arrays.get(f"{name}.bias"), epsilon)


def heads_of(layer: Mapping[str, Array], part: str, x_TD: Array, heads: int, tap: Tap, name: str) -> Array:
    """A linear map cut into heads, [..., H, T, E]: `part` is "attention.query" and the like. Tap: `name`.`part`."""
    return tap(f"{name}.{part}", attention.split_heads(mapped(layer, part, x_TD), heads))


def self_attention(
    layer: Mapping[str, Array],
    x_TD: Array,
    heads: int,
    tap: Tap,
    name: str,
    *,
    scale: float,
    mask_TS: Mask | None,
    bias_HTS: Array | None = None,
    turn_TP: tuple[Array, Array] | None = None,
    cache: Cache | None = None,
    index: int = 0,
) -> tuple[Array, LayerCache]:
    """What the tokens take from each other, [..., T, D], and what layer `index` has seen now.

    `turn_TP`: cos and sin by which queries and keys are turned. Taps: `name`.attention.query, .key (where they are
    turned .query.projected, .key.projected before), .value, those of `core.attention.attend`, .output.
    """

    def positioned(part: str) -> Array:
        if turn_TP is None:
            return heads_of(layer, f"attention.{part}", x_TD, heads, tap, name)
        x_HTE = attention.split_heads(mapped(layer, f"attention.{part}", x_TD), heads)
        x_HTE = tap(f"{name}.attention.{part}.projected", x_HTE)
        return tap(f"{name}.attention.{part}", rotate_halves(x_HTE, *turn_TP))

    query_HTE, key_HTE = positioned("query"), positioned("key")
    value_HTE = heads_of(layer, "attention.value", x_TD, heads, tap, name)
    seen = extend(cache, index, key_HTE, value_HTE)
    mixed_HTE = attention.attend(
        query_HTE,
        seen.key_KSE,
        seen.value_KSE,
        scale=scale,
        mask_TS=mask_TS,
        bias_HTS=bias_HTS,
        tap=tap,
        name=f"{name}.attention",
    )
    added_TD = mapped(layer, "attention.output", attention.merge_heads(mixed_HTE))
    return tap(f"{name}.attention.output", added_TD), seen


def pre_norm_layer(
    layer: Mapping[str, Array],
    stream_TD: Array,
    heads: int,
    activation: str,
    epsilon: float,
    cache: Cache | None,
    tap: Tap,
    index: int,
    *,
    parallel: bool = False,
    **attending: Any,
) -> tuple[Array, LayerCache]:
    """One layer with a layer norm before each step (Radford et al. 2019, 2.3): the stream after it, what it has seen.

    `parallel`: the feed-forward step reads what the attention read, not what came of it. `attending`: as
    `self_attention` takes it.
    """
    name = f"layers.{index}"

    def normed(step: str, x_TD: Array) -> Array:
        return tap(f"{name}.{step}.norm", layer_normed(layer, f"{step}.norm", x_TD, epsilon))

    stream_TD = tap(f"{name}.input", stream_TD)
    read_TD = normed("attention", stream_TD)
    added_TD, seen = self_attention(layer, read_TD, heads, tap, name, cache=cache, index=index, **attending)
    middle_TD = tap(f"{name}.middle", stream_TD + added_TD)
    read_TD = normed("feedforward", stream_TD if parallel else middle_TD)
    added_TD = plain_feed_forward(layer, read_TD, activation, tap, name)
    return tap(f"{name}.output", middle_TD + added_TD), seen


def encoder_layer(
    layer: Mapping[str, Array],
    stream_TD: Array,
    heads: int,
    activation: str,
    epsilon: float,
    tap: Tap,
    name: str,
    mask_TS: Mask | None,
) -> Array:
    """The stream after one layer of an encoder with the norm after each sum (Vaswani et al. 2017, 3.1)."""
    stream_TD = tap(f"{name}.input", stream_TD)
    scale = (stream_TD.shape[-1] // heads) ** -0.5
    added_TD, _ = self_attention(layer, stream_TD, heads, tap, name, scale=scale, mask_TS=mask_TS)
    stream_TD = normed_sum(layer, "middle", stream_TD, added_TD, epsilon, tap, name)
    added_TD = plain_feed_forward(layer, stream_TD, activation, tap, name)
    return normed_sum(layer, "output", stream_TD, added_TD, epsilon, tap, name)


def of_source(params: Params, source_SD: Array, layers: int, heads: int, tap: Tap) -> Sequence[LayerCache]:
    """The keys and values that the source offers to each layer of the decoder."""

    def step(
        index: int, layer: Mapping[str, Array], source_SD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, LayerCache]:
        key, value = (
            heads_of(layer, f"cross_attention.{part}", source_SD, heads, tap, f"layers.{index}")
            for part in ("key", "value")
        )
        return source_SD, LayerCache(key, value)

    return params.through(step, source_SD, layers, tap)[1]


def given_source(cache: Cache | None) -> tuple[Cache, Source]:
    """The cache of a decoder and the source text in it. Raises UsageError without one."""
    if cache is None or cache.source is None:
        raise UsageError("this model turns a source text into another and was given no source")
    return cache, cache.source


def cross_attention(
    layer: Mapping[str, Array],
    x_TD: Array,
    heads: int,
    source: Source,
    index: int,
    tap: Tap,
    name: str,
    *,
    scale: float,
) -> Array:
    """What the tokens take from the source, [..., T, D]. Taps as in `self_attention`, under `name`.cross_attention."""
    seen = source.layers[index]
    mixed_HTE = attention.attend(
        heads_of(layer, "cross_attention.query", x_TD, heads, tap, name),
        seen.key_KSE,
        seen.value_KSE,
        scale=scale,
        mask_TS=hide(None, source.hidden_S),
        tap=tap,
        name=f"{name}.cross_attention",
    )
    added_TD = mapped(layer, "cross_attention.output", attention.merge_heads(mixed_HTE))
    return tap(f"{name}.cross_attention.output", added_TD)


def plain_feed_forward(layer: Mapping[str, Array], x_TD: Array, activation: str, tap: Tap, name: str) -> Array:
    """Taps: `name`.feedforward.hidden, .activation, .output."""
    step = f"{name}.feedforward"
    output_TD = feedforward.plain(x_TD, layer, "feedforward", activation=activation, tap=tap, name=step)
    return tap(f"{step}.output", output_TD)


def normed_sum(
    layer: Mapping[str, Array], point: str, stream_TD: Array, added_TD: Array, epsilon: float, tap: Tap, name: str
) -> Array:
    """The stream at `point` ("middle", "output") where the norm stands after the sum (Vaswani et al. 2017, 3.1).

    Taps: `name`.`point`.sum, `name`.`point`.
    """
    sum_TD = tap(f"{name}.{point}.sum", stream_TD + added_TD)
    return tap(f"{name}.{point}", layer_normed(layer, f"{point}.norm", sum_TD, epsilon))


def learned_positions(params: Params, start: int, tokens: int) -> Array:
    """The rows of the position table from `start`, [T, D]. Raises UserError where the text is longer than the table."""
    table_PD = params["position.weight"]
    if not isinstance(start, int):  # Compiled code: whoever runs it has counted.
        return look_up(table_PD, start + namespace(table_PD).arange(tokens))
    if start + tokens > len(table_PD):
        raise UserError(
            f"{start + tokens} tokens are more than this model has positions for ({len(table_PD)})",
            "give it a shorter text",
        )
    return table_PD[start : start + tokens]


def output_matrix(params: Params) -> Array:
    """[V, D]: that of the file, or the embedding where it has none."""
    unembedding_VD = params.get("unembedding.weight")
    return params["embedding.weight"] if unembedding_VD is None else unembedding_VD


def layer_norm_readout(params: Params, config: Any, stream_TD: Array, tap: Tap) -> Array:
    """A layer norm, and the product with the output matrix."""
    hidden_TD = tap("final.norm", layer_normed(params, "final.norm", stream_TD, config.norm_epsilon))
    return tap("final.logits", logits(hidden_TD, output_matrix(params)))
