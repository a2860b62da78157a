"""Youtu-LLM: latent attention as in DeepSeek-V3, and one feed-forward step in each layer.

DeepSeek-AI 2024, "DeepSeek-V2", section 2.1.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files
from llminspect.model import latent_files as latent


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.skip("embedding_initializer_range")
    found = latent.from_huggingface(settings)
    return files.interleaved(found) if settings.flag("rope_interleave", True) else found


ARCHITECTURE = files.family(
    "youtu",
    from_huggingface,
    latent.tensors,
    defaults={
        "tie_word_embeddings": True,
        "max_position_embeddings": 131_072,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    },
)
