"""Code World Model: Llama's layers, three of four with a window.

FAIR CodeGen Team 2025, "CWM: An Open-Weights LLM for Research on Code Generation with World Models", section 3.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    found = files.from_huggingface(settings, biased=files.feed_forward_biases(settings))
    return files.with_windows(found, settings, lambda index: index % 4 != 0)


ROTATION = {
    "rope_type": "llama3",
    "rope_theta": 1_000_000.0,
    "factor": 16.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
DEFAULTS = {
    "head_dim": 128,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
    "rope_parameters": ROTATION,
    "sliding_window": 8192,
    "max_position_embeddings": 131_072,
}
ARCHITECTURE = files.family("cwm", from_huggingface, defaults=DEFAULTS)
