"""What a layer takes from elsewhere than the stream: another layer's keys and values, and vectors of the tokens.

Gemma Team 2025, "Gemma 3n": key/value cache sharing, per-layer embeddings.
"""

from __future__ import annotations

import math

from llminspect.core.array import Array, look_up, mapped, namespace
from llminspect.core.cache import LayerCache
from llminspect.core.tap import Tap
from llminspect.model.config import Config
from llminspect.model.layer import norm
from llminspect.model.params import Params


def borrowed(lent: LayerCache, tokens: int, tap: Tap, name: str) -> LayerCache:
    """The keys and values of another layer, as this one sees them; of the last `tokens` a tap may make others."""

    def seen(part: str, whole_KSE: Array) -> Array:
        new_KTE, before_KSE = whole_KSE[..., -tokens:, :], whole_KSE[..., :-tokens, :]
        found_KTE = tap(f"{name}.{part}", new_KTE)
        if found_KTE is new_KTE:
            return whole_KSE
        changed_KSE: Array = namespace(new_KTE).concat([before_KSE, found_KTE], axis=-2)
        return changed_KSE

    return LayerCache(seen("key", lent.key_KSE), seen("value", lent.value_KSE))


def per_layer_inputs(params: Params, config: Config, ids_T: Array, stream_TD: Array, tap: Tap) -> Array:
    """What each layer reads of the tokens themselves, [..., T, L, N]: from a table for all layers, and from the stream
    as it begins."""
    width = config.per_layer
    shape = (*stream_TD.shape[:-1], config.sizes.L, width)
    table_VN, xp = params["per_layer.embedding.weight"], namespace(ids_T)
    known_T = xp.where(ids_T < len(table_VN), ids_T, xp.zeros_like(ids_T))  # Those of pictures and sounds have none.
    tokens_TLN = look_up(table_VN, known_T).reshape(shape) * math.sqrt(width)
    stream_TLN = (mapped(params, "per_layer.projection", stream_TD) * config.sizes.D**-0.5).reshape(shape)
    inputs_TLN: Array = (norm(params, "per_layer.norm", stream_TLN, config) + tokens_TLN) * math.sqrt(0.5)
    return tap("embedding.per_layer", inputs_TLN)
