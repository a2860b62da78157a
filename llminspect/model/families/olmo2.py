"""OLMo 2: the norms stand after each step instead of before it, queries and keys are normed over all heads at once.

OLMo Team 2025, "2 OLMo 2 Furious", section 3.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.model import decoder_files as files
from llminspect.model.spec import TensorSpec

if TYPE_CHECKING:
    from llminspect.model.config import DecoderConfig
    from llminspect.model.settings import Settings


def from_huggingface(settings: Settings) -> DecoderConfig:
    return replace(files.from_huggingface(settings), biased=files.attention_biases(settings))


def tensors(config: DecoderConfig) -> list[TensorSpec]:
    layer = [
        *files.attention_specs(config),
        TensorSpec("attention.query.norm.weight", "HE", "self_attn.q_norm.weight"),
        TensorSpec("attention.key.norm.weight", "KE", "self_attn.k_norm.weight"),
        TensorSpec("attention.norm_after.weight", "D", "post_attention_layernorm.weight"),
        *files.feed_forward_specs(config),
        TensorSpec("feedforward.norm_after.weight", "D", "post_feedforward_layernorm.weight"),
    ]
    return files.around_layers(config, layer)


ARCHITECTURES = (files.family("olmo2", from_huggingface, tensors),)
