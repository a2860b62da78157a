"""Steps that families with layer norms or an encoder share, each on the arrays of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.core import attention, feedforward
from llminspect.core.array import linear, namespace
from llminspect.core.cache import Seen, extend
from llminspect.core.embedding import look_up
from llminspect.core.norm import layer_norm
from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llminspect.core.array import Array
    from llminspect.core.cache import Cache, Source
    from llminspect.core.mask import Mask
    from llminspect.core.tap import Tap
    from llminspect.model.params import Params


def mapped(layer: Mapping[str, Array] | Params, name: str, x_TI: Array) -> Array:
    """A linear map of the layer, with its bias if it has one."""
    return linear(x_TI, layer[f"{name}.weight"], layer.get(f"{name}.bias"))


def layer_normed(arrays: Mapping[str, Array] | Params, name: str, x_TD: Array, epsilon: float) -> Array:
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
    cache: Cache | None = None,
    index: int = 0,
) -> tuple[Array, Seen]:
    """What the tokens take from each other, [..., T, D], and what layer `index` has seen now.

    Taps: `name`.attention.query, .key, .value, those of `core.attention.attend`, .output.
    """
    query_HTE = heads_of(layer, "attention.query", x_TD, heads, tap, name)
    key_HTE = heads_of(layer, "attention.key", x_TD, heads, tap, name)
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


def offered(layer: Mapping[str, Array], source_SD: Array, heads: int, tap: Tap, name: str) -> Seen:
    """The keys and values that the source offers to one layer of the decoder."""
    return Seen(
        heads_of(layer, "cross_attention.key", source_SD, heads, tap, name),
        heads_of(layer, "cross_attention.value", source_SD, heads, tap, name),
    )


def offers(params: Params, source_SD: Array, layers: int, heads: int, tap: Tap) -> Sequence[Seen]:
    """What the source offers to each layer of the decoder."""

    def step(
        index: int, layer: Mapping[str, Array], source_SD: Array, cache: Cache | None, tap: Tap
    ) -> tuple[Array, Seen]:
        return source_SD, offered(layer, source_SD, heads, tap, f"layers.{index}")

    return params.through(step, source_SD, layers, tap)[1]


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
        mask_TS=attention.hide(None, source.hidden_S),
        tap=tap,
        name=f"{name}.cross_attention",
    )
    added_TD = mapped(layer, "cross_attention.output", attention.merge_heads(mixed_HTE))
    return tap(f"{name}.cross_attention.output", added_TD)


def plain_feed_forward(layer: Mapping[str, Array], x_TD: Array, activation: str, tap: Tap, name: str) -> Array:
    """Taps: `name`.feedforward.hidden, .activation, .output."""
    output_TD = feedforward.plain(
        x_TD,
        layer["feedforward.up.weight"],
        layer["feedforward.down.weight"],
        up_F=layer.get("feedforward.up.bias"),
        down_D=layer.get("feedforward.down.bias"),
        activation=activation,
        tap=tap,
        name=f"{name}.feedforward",
    )
    return tap(f"{name}.feedforward.output", output_TD)


def normed_sum(
    layer: Mapping[str, Array], point: str, stream_TD: Array, added_TD: Array, epsilon: float, tap: Tap, name: str
) -> Array:
    """The stream at `point` ("middle", "output") where the norm stands behind the sum (Vaswani et al. 2017, 3.1).

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
