"""Seed-OSS: Llama's layers with biases on queries, keys and values alone.

ByteDance Seed Team 2025, "Seed-OSS" (model card).
"""

from __future__ import annotations

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    inner = files.inner_biases(settings)
    outer = ("attention.output",) if settings.flag("attention_out_bias") else ()
    return files.from_huggingface(settings, biased=(*inner, *outer, *files.feed_forward_biases(settings)))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.RENAMED_NORMS_BEFORE, *files.attention_specs(config), *files.feed_forward_specs(config)]
    return files.around_layers(config, layer)


DEFAULTS = {
    "attention_bias": True,
    "head_dim": 128,
    "num_key_value_heads": 8,
    "max_position_embeddings": 524_288,
    "pad_token_id": 1,
}
ARCHITECTURE = files.family("seed_oss", from_huggingface, tensors, read_gguf=files.from_gguf, defaults=DEFAULTS)
