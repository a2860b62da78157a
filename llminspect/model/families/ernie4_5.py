"""ERNIE 4.5, the dense models: Llama's layers, neighbours turned together, biases everywhere or nowhere.

Baidu ERNIE Team 2025, "ERNIE 4.5 Technical Report", section 2.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    biased = (*files.ATTENTION, *files.FEED_FORWARD) if settings.flag("use_bias") else ()
    return files.interleaved(files.from_huggingface(settings, biased=biased))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return files.interleaved(files.from_gguf(settings))


DEFAULTS = {
    "head_dim": 128,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "tie_word_embeddings": True,
    "max_position_embeddings": 131_072,
    "pad_token_id": 0,
}
ARCHITECTURES = (files.family("ernie4_5", from_huggingface, gguf="ernie4_5", read_gguf=from_gguf, defaults=DEFAULTS),)
