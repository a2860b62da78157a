"""Ministral 3 and Devstral 2: Mistral, whose queries grow with their position beyond the length of training.

Mistral AI 2025, "Ministral 3" (model card); the growth is that of Llama 4's queries.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from llminspect.core.rotary import Growth, Yarn, yarn_gain
from llminspect.model import decoder_files as files

OF_GROWTH = ("llama_4_scaling_beta", "max_position_embeddings")


def growth_of(settings: files.Settings, instead: dict[str, Any]) -> Growth:
    """How queries grow, which the settings of the rotation say (`instead` where there are none), without those."""
    key = "rope_parameters" if settings.values.get("rope_scaling") is None else "rope_scaling"
    if settings.values.get(key) is None:
        settings.values = {**settings.values, key: instead}
    stated = settings.under(key)
    strength = stated.number("llama_4_scaling_beta")
    context = stated.whole("original_max_position_embeddings")
    stated.get("max_position_embeddings")  # The reference implementation does not look at it.
    kept = {key: value for key, value in stated.values.items() if key not in OF_GROWTH}
    settings.values = {**settings.values, key: kept}
    return Growth(strength, context)


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    growth = growth_of(settings, DEFAULTS["rope_parameters"])
    settings.skip("layer_types")  # Which the reference does not look at either: a window is on all layers.
    found = files.from_huggingface(settings)
    found = replace(found, rotary=replace(found.rotary, growth=growth))
    if settings.get("sliding_window") is None:
        return found
    return replace(found, window=settings.whole("sliding_window"), windowed=tuple(range(found.sizes.L)))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """Also of Mistral Small 3, whose queries do not grow. The gain of the rotation is taken back by so much as the file
    says; in files of Ministral 3 nothing of it is left."""
    found, strength = files.from_gguf(settings), settings.get("attention.temperature_scale")
    scaling, weight = found.rotary.scaling, settings.get("rope.scaling.yarn_log_multiplier")
    if isinstance(scaling, Yarn) and weight is not None:
        of_all = yarn_gain(scaling.factor, settings.number("rope.scaling.yarn_log_multiplier"))
        scaling = replace(scaling, gain=yarn_gain(scaling.factor) / of_all)
    growth = None
    if strength is not None:
        context = settings.whole("rope.scaling.original_context_length")
        growth = Growth(settings.number("attention.temperature_scale"), context)
    return replace(found, rotary=replace(found.rotary, scaling=scaling, growth=growth))


DEFAULTS: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 1_000_000.0,
        "factor": 16.0,
        "original_max_position_embeddings": 16_384,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.1,
    },
    "head_dim": 128,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 262_144,
    "pad_token_id": 11,
}
ARCHITECTURE = files.family(
    "ministral3",
    from_huggingface,
    partial(files.plain_tensors, permuted=True),
    gguf="mistral3",
    read_gguf=from_gguf,
    defaults=DEFAULTS,
)
