"""Helium: Llama's layers, neighbours turned together.

Kyutai 2025, "Helium 1" (model card).
"""

from __future__ import annotations

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    biased = files.inner_biases(settings) + files.feed_forward_biases(settings)
    return files.interleaved(files.from_huggingface(settings, biased=biased))


DEFAULTS = {
    "head_dim": 128,
    "num_key_value_heads": 20,
    "rms_norm_eps": 1e-8,
    "rope_theta": 100_000.0,
    "max_position_embeddings": 4096,
    "pad_token_id": 3,
}
ARCHITECTURE = files.family("helium", from_huggingface, defaults=DEFAULTS)
