"""OLMo 2: the norms stand after each step instead of before it, queries and keys are normed over all heads at once.

OLMo Team 2025, "2 OLMo 2 Furious", section 3.1.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    return replace(files.from_huggingface(settings), biased=files.attention_biases(settings))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [
        *files.attention_specs(config),
        files.TensorSpec("attention.query.norm.weight", "HE", "self_attn.q_norm.weight"),
        files.TensorSpec("attention.key.norm.weight", "KE", "self_attn.k_norm.weight"),
        files.TensorSpec("attention.norm_after.weight", "D", "post_attention_layernorm.weight"),
        *files.feed_forward_specs(config),
        files.TensorSpec("feedforward.norm_after.weight", "D", "post_feedforward_layernorm.weight"),
    ]
    return files.around_layers(config, layer)


ARCHITECTURES = (
    files.family(
        "olmo2",
        from_huggingface,
        tensors,
        defaults={"rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "pad_token_id": 1},
    ),
)
