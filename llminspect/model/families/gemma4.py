"""Gemma 4 (text): each layer reads a vector of its own for each token, layers without a window have wider heads, values
are normed, and the last layers work with the keys and values of earlier ones.

Gemma Team 2026, "Gemma 4"; the per-layer embeddings and the shared keys are those of Gemma 3n (Gemma Team 2025).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import Glu
from llminspect.core.rotary import Rotary
from llminspect.model import decoder_files as files
from llminspect.model import lending_files as lending
from llminspect.model import rotary_files
from llminspect.model.config import GGUF, read_sizes
from llminspect.model.mixture_files import specs_beside


@dataclass(frozen=True, kw_only=True)
class Gemma4Config(files.DecoderConfig):
    """With what says which arrays there are."""

    same_keys: bool | None
    """Whether layers without a window make their values of their keys; None: where the file has no others."""
    wider: bool
    """Whether the layers that borrow keys and values have twice as many hidden units."""


def from_huggingface(settings: files.Settings) -> Gemma4Config:
    settings.only("hidden_activation", "gelu_pytorch_tanh")
    settings.only("use_bidirectional_attention", "vision")  # Of the tokens of a picture alone.
    sizes, experts = _stated_experts(settings)
    same = settings.flag("attention_k_eq_v")
    settings.only("vocab_size_per_layer_input", sizes.V)
    settings.skip("num_global_key_value_heads")  # Which without shared projections is not looked at.
    keys = settings.whole("num_global_key_value_heads", sizes.K) if same else sizes.K
    whole = _stated_whole_heads(settings, sizes, (keys, settings.whole("global_head_dim")))
    local, everywhere = rotary_files.two_rotations(settings, sizes.E, sizes.context, whole_width=whole[1])
    found = files.from_huggingface(
        settings,
        sizes,
        unit=Glu("gelu_tanh"),
        rotary=everywhere,
        local_rotary=local,
        biased=files.attention_biases(settings),
        experts=experts,
    )
    found = files.with_windows(found, settings, lambda index: (index + 1) % 6 != 0)
    return _settled(
        found,
        settings,
        "num_kv_shared_layers",
        per_layer=lending.whole_or_none(settings, "hidden_size_per_layer_input"),
        whole_heads=whole,
        logit_cap=settings.perhaps("final_logit_softcapping"),
        same_keys=same,
        wider=settings.flag("use_double_wide_mlp"),
    )


def _stated_experts(settings: files.Settings) -> tuple[files.Sizes, files.Experts | None]:
    """Beside them the one network of the other models works on every token."""
    if not settings.flag("enable_moe_block"):
        settings.skip("top_k_experts", "moe_intermediate_size")  # Of what is off.
        return files.sizes_from_huggingface(settings), None
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", settings.whole("num_experts"))
    chosen, width = files.chosen_experts(settings, "top_k_experts", sizes.X), settings.whole("intermediate_size")
    return sizes, files.Experts(chosen, shared_width=width)


def _stated_whole_heads(settings: files.Settings, sizes: files.Sizes, otherwise: tuple[int, int]) -> tuple[int, int]:
    """Files of transformers 5 state what differs by layer, and the same for all layers without a window."""
    stated = settings.get("per_layer_config")
    if stated is None:
        return otherwise
    if not stated:  # None differs.
        return sizes.K, sizes.E
    kinds = settings.need("layer_types")
    wanted = {index for index, kind in enumerate(kinds) if kind == "full_attention"} | {len(kinds) - 1}
    found = {
        (entry.pop("num_key_value_heads", sizes.K), entry.pop("head_dim", sizes.E), not entry)
        for entry in map(dict, stated.values())
    }
    if {int(index) for index in stated} != wanted or len(found) != 1 or not min(found)[2]:
        raise settings.wrong("per_layer_config", "the same heads for all layers without a window")
    keys, width, _ = min(found)
    if not all(type(size) is int and size > 0 for size in (keys, width)):
        raise settings.wrong("per_layer_config", "whole numbers above 0")
    return keys, width


def from_gguf(settings: files.Settings) -> Gemma4Config:
    layers = settings.whole("block_count")
    slides = settings.need("attention.sliding_window_pattern")
    if not isinstance(slides, list) or len(slides) != layers:
        raise settings.wrong("attention.sliding_window_pattern", f"true or false for each of {layers} layers")
    whole_width, width = settings.whole("attention.key_length"), settings.whole("attention.key_length_swa")
    settings.only("attention.value_length", whole_width)
    settings.only("attention.value_length_swa", width)
    settings.only("rope.dimension_count", whole_width)
    settings.only("rope.dimension_count_swa", width)
    settings.only("expert_gating_func", 1)
    keys = _by_layer(settings, "attention.head_count_kv", layers)
    wide = _by_layer(settings, "feed_forward_length", layers)
    of_kind = {kind: {keys[at] for at in range(layers) if bool(slides[at]) is kind} for kind in (True, False)}
    if any(len(found) > 1 for found in of_kind.values()):
        raise settings.wrong("attention.head_count_kv", "one number for the layers with a window, one for the others")
    local_keys, whole_keys = min(of_kind[True] or of_kind[False]), min(of_kind[False] or of_kind[True])
    known, experts = {"F": wide[0]}, None
    if settings.get("expert_count"):
        known = {"F": settings.whole("expert_feed_forward_length"), "X": settings.whole("expert_count")}
        chosen = files.chosen_experts(settings, "expert_used_count", known["X"])
        experts = files.Experts(chosen, shared_width=wide[0])
    settings.skip("expert_feed_forward_length", "expert_used_count")
    sizes = read_sizes(settings, GGUF, K=local_keys, E=width, **known)
    found = files.from_gguf(
        settings,
        sizes,
        unit=Glu("gelu_tanh"),
        biased=(),
        rotary=Rotary(whole_width, settings.number("rope.freq_base", 1_000_000.0)),
        local_rotary=Rotary(width, settings.number("rope.freq_base_swa", 10_000.0)),
        window=settings.whole("attention.sliding_window"),
        experts=experts,
        windowed=tuple(at for at in range(layers) if slides[at]),
    )
    result = _settled(
        found,
        settings,
        "attention.shared_kv_layers",
        per_layer=lending.whole_or_none(settings, "embedding_length_per_layer_input"),
        whole_heads=(whole_keys, whole_width),
        logit_cap=settings.perhaps("final_logit_softcapping"),
        same_keys=None,
        wider=wide[-1] != wide[0],
    )
    if wide != [hidden_units(result, at) for at in range(layers)]:
        raise settings.wrong("feed_forward_length", "the same for all layers, or twice in those that share keys")
    return result


def _by_layer(settings: files.Settings, key: str, layers: int) -> list[int]:
    """A number for all layers, or one for each."""
    stated = settings.need(key)
    if isinstance(stated, list) and len(stated) == layers and all(type(each) is int and each > 0 for each in stated):
        return stated
    return [settings.whole(key)] * layers


def _settled(found: files.DecoderConfig, settings: files.Settings, key: str, **known: Any) -> Gemma4Config:
    """With what both kinds of file say alike; `key` is that of how many layers borrow keys and values."""
    last = found.sizes.L - 1  # It sees everything.
    windowed = tuple(index for index in found.windowed if index != last)
    changed = lending.lending(replace(found, windowed=windowed), settings, key)
    return Gemma4Config(**vars(changed) | known)


def hidden_units(config: Gemma4Config, index: int) -> int:
    """Of the network that works on every token."""
    width = config.sizes.F if config.experts is None else config.experts.shared_width or 0
    return width * (2 if config.wider and config.keys_of(index) != index else 1)


SCALE = files.TensorSpec("output.scale", "1", "layer_scalar", "layer_output_scale.weight")


def tensors(config: Gemma4Config) -> list[files.TensorSpec]:
    def layer(index: int) -> list[files.TensorSpec]:
        units, whole = str(hidden_units(config, index)), index not in config.windowed
        plain = (*lending.NORM_BEFORE, *files.feed_forward_specs(config, units))
        return [
            *lending.NORMS_AFTER,
            *lending.attention_specs(
                config, index, None if whole and config.same_keys is None else not (whole and config.same_keys)
            ),
            *(specs_beside(units, folded=config.same_keys is None) if config.experts else plain),
            SCALE,
            *(lending.per_layer_specs(config) if config.per_layer else ()),
        ]

    around = [*files.around_layers(config, layer), *(lending.per_layer_tables(config) if config.per_layer else ())]
    if config.same_keys is None:  # A GGUF file has the pairs that do not turn as very large divisors.
        around += [replace(spec, optional=False) for spec in files.divisor_specs(config)]
    return around


DEFAULTS = {
    "num_key_value_heads": 4,
    "head_dim": 256,
    "global_head_dim": 512,
    "max_position_embeddings": 131_072,
    "sliding_window": 512,
    "tie_word_embeddings": True,
    "hidden_size_per_layer_input": 256,
    "vocab_size_per_layer_input": 262_144,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
    },
}
ARCHITECTURE = files.family(
    "gemma4",
    from_huggingface,
    tensors,
    model_types=("gemma4_text",),
    read_gguf=from_gguf,
    ignored=lending.UNUSED,
    defaults=DEFAULTS,
)
