"""How files keep layers that take from elsewhere than the stream: keys and values of others, vectors of the tokens.

Gemma Team 2025, "Gemma 3n": key/value cache sharing, per-layer embeddings; Gemma 4 has both as well.
"""

from __future__ import annotations

import math
from dataclasses import replace

from llminspect.model.config import DecoderConfig
from llminspect.model.copies import Copy
from llminspect.model.decoder_files import AROUND
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec, linear_specs


def lending(found: DecoderConfig, settings: Settings, key: str) -> DecoderConfig:
    """With keys and values that the last layers borrow, normed values and scores that are not scaled; `key` is that
    of how many layers borrow."""
    layers, borrowing = found.sizes.L, whole_or_none(settings, key)
    lenders = {index in found.windowed for index in range(layers - borrowing)}
    if lenders != {index in found.windowed for index in range(layers)}:
        raise settings.wrong(key, "so few that a layer with, and one without a window is left to borrow from")
    scale = math.sqrt(found.sizes.D)
    return replace(found, scale=1.0, embedding_scale=scale, borrowing=borrowing, value_norms=True)


def whole_or_none(settings: Settings, key: str) -> int:
    return settings.whole(key) if settings.get(key) else 0


NORMS_AFTER, NORM_BEFORE = linear_specs(*AROUND[:2], AROUND[3]), linear_specs(AROUND[2])


def attention_specs(config: DecoderConfig, index: int, values: bool | None = True) -> list[TensorSpec]:
    """Of a layer that may borrow keys and values; `values`: whether it has a map of its own for them, None: the file
    knows."""
    keys, width = config.heads_of(index)
    query, kept = str(config.sizes.H * width), str(keys * width)
    found = linear_specs(
        ("attention.query", f"{query} D", "self_attn.q_proj", "attn_q"),
        ("attention.query.norm", str(width), "self_attn.q_norm", "attn_q_norm"),
        ("attention.output", f"D {query}", "self_attn.o_proj", "attn_output"),
        bias=config.biased,
    )
    if config.keys_of(index) == index:
        found += linear_specs(
            ("attention.key", f"{kept} D", "self_attn.k_proj", "attn_k"),
            ("attention.key.norm", str(width), "self_attn.k_norm", "attn_k_norm"),
            bias=config.biased,
        )
        value = linear_specs(("attention.value", f"{kept} D", "self_attn.v_proj", "attn_v"), bias=config.biased)
        found += [] if values is False else [replace(spec, optional=values is None) for spec in value]
    return found


def per_layer_specs(config: DecoderConfig) -> list[TensorSpec]:
    """What a layer makes of the tokens' own vectors."""
    width = str(config.per_layer)
    return linear_specs(
        ("per_layer.gate", f"{width} D", "per_layer_input_gate", "inp_gate"),
        ("per_layer.output", f"D {width}", "per_layer_projection", "proj"),
        ("per_layer.norm_after", "D", "post_per_layer_input_norm", "post_norm"),
    )


def per_layer_tables(config: DecoderConfig, tokens: str = "V") -> list[TensorSpec]:
    """Of which those are made, for all layers."""
    every = str(config.per_layer * config.sizes.L)
    return linear_specs(
        ("per_layer.embedding", f"{tokens} {every}", "embed_tokens_per_layer", "per_layer_token_embd"),
        ("per_layer.projection", f"{every} D", "per_layer_model_projection", "per_layer_model_proj"),
        ("per_layer.norm", str(config.per_layer), "per_layer_projection_norm", "per_layer_proj_norm"),
    )


UNUSED = tuple(
    Copy(f"{layer}.*.{part}.weight")
    for layer, parts in (
        ("layers", ("self_attn.k_proj", "self_attn.v_proj", "self_attn.k_norm")),
        ("blk", ("attn_k", "attn_v", "attn_k_norm")),
    )
    for part in parts
)
"""Files may have them in layers that borrow keys and values; no version of the model reads them there."""
