"""OLMo 2: the norms stand behind each step instead of in front, queries and keys are normed over all heads at once.

OLMo Team 2025, "2 OLMo 2 Furious", section 3.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llminspect.model import decoder_files as files
from llminspect.model import settings as settings_of
from llminspect.model.decoder import Config, forward, readout
from llminspect.model.spec import Architecture, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


def config_from_huggingface(config: Mapping[str, Any]) -> Config:
    settings = settings_of.huggingface(config)
    found = replace(
        files.from_huggingface(settings, files.sizes_from_huggingface(settings)),
        unit=files.gated_unit(settings),
        biased=files.ATTENTION if settings.get("attention_bias") else (),
    )
    settings.done()
    return found


def tensors(config: Config) -> list[TensorSpec]:
    layer = [
        *files.attention_specs(config),
        TensorSpec("attention.query.norm.weight", "HE", "self_attn.q_norm.weight"),
        TensorSpec("attention.key.norm.weight", "KE", "self_attn.k_norm.weight"),
        TensorSpec("attention.norm_behind.weight", "D", "post_attention_layernorm.weight"),
        *files.feed_forward_specs(config),
        TensorSpec("feedforward.norm_behind.weight", "D", "post_feedforward_layernorm.weight"),
    ]
    return files.around_layers(config, lambda _: layer)


ARCHITECTURES = (
    Architecture(
        name="olmo2",
        model_types=("olmo2",),
        gguf_names=(),
        config_from_huggingface=config_from_huggingface,
        config_from_gguf=None,
        tensors=tensors,
        forward=forward,
        readout=readout,
        prefix="model.",
    ),
)
