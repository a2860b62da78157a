"""Llama 1 to 3, which SmolLM2 shares, and Mistral, which adds a window to its attention.

Touvron et al. 2023, "LLaMA" (section 2.2); Grattafiori et al. 2024, "The Llama 3 Herd of Models" (section 3.2); Jiang
et al. 2023, "Mistral 7B" (section 2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.model import decoder_files as files
from llminspect.model import settings as settings_of
from llminspect.model.decoder import Config, Experts, forward, readout
from llminspect.model.spec import Architecture, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    found = files.from_huggingface(settings, files.sizes_from_huggingface(settings))
    biased: tuple[str, ...] = ()
    if settings.get("attention_bias"):
        biased += files.ATTENTION
    if settings.get("mlp_bias"):
        biased += files.FEED_FORWARD
    found = replace(found, biased=biased, unit=files.gated_unit(settings))
    # The first says the context once more (Llama 1), the second that this is a Llama (SmolLM2).
    settings.done(("max_sequence_length", "is_llama_config"))
    return found


def mistral_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    found = files.from_huggingface(settings, files.sizes_from_huggingface(settings))
    found = files.with_windows(found, settings, lambda _: settings.get("sliding_window") is not None)
    found = replace(found, unit=files.gated_unit(settings))
    settings.done()
    return found


def config_from_gguf(metadata: Mapping[str, Any]) -> Config:
    """A Mixtral is a llama with experts there."""
    settings = settings_of.gguf(metadata, "llama")
    experts = settings.get("expert_count") or 0
    found = files.from_gguf(settings, files.sizes_from_gguf(settings, experts))
    if experts:
        found = replace(found, experts=Experts(settings.whole("expert_used_count")))
    settings.done(("expert_used_count",))
    return found


def unpermute(weight: Array, heads: int) -> Array:
    """GGUF files of the llama family hold each head's rows interleaved for the rotation; bring them back to halves."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def unpermute_query(weight: Array, config: Config) -> Array:
    return unpermute(weight, config.sizes.H)


def unpermute_key(weight: Array, config: Config) -> Array:
    return unpermute(weight, config.sizes.K)


EXPERTS_IN_GGUF = files.expert_specs(0, "", "", ("", "", ""))


def tensors(config: Config) -> list[TensorSpec]:
    layer = [
        *files.NORMS_IN_FRONT,
        *files.attention_specs(config, (unpermute_query, unpermute_key)),
        *(files.feed_forward_specs(config) if config.experts is None else EXPERTS_IN_GGUF),
    ]
    pairs = str(config.rotary.width // 2)
    divisors = TensorSpec("rotary.divisors", pairs, None, "rope_freqs.weight", optional=True)
    return [*files.around_layers(config, lambda _: layer), divisors]


ARCHITECTURES = (
    Architecture(
        name="llama",
        model_types=("llama",),
        gguf_names=("llama",),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=config_from_gguf,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
        ignored=("*.rotary_emb.inv_freq",),
    ),
    Architecture(
        name="mistral",
        model_types=("mistral",),
        gguf_names=(),
        config_from_huggingface=mistral_from_huggingface,
        config_from_gguf=None,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
        ignored=("*.rotary_emb.inv_freq",),
    ),
)
