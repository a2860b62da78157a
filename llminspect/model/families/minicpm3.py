"""MiniCPM 3: latent attention, and three multipliers, of the embedding, what each step adds and the logits.

DeepSeek-AI 2024, "DeepSeek-V2", section 2.1 (the attention); Hu et al. 2024, "MiniCPM", section 3 (the multipliers).
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.rotary import Divided
from llminspect.model import decoder_files as files
from llminspect.model import latent_files as latent


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    found = latent.from_huggingface(settings, embedding_scale=settings.number("scale_emb"))
    depth, base = settings.perhaps("scale_depth"), settings.perhaps("dim_model_base")
    return replace(
        found,
        residual_scale=1.0 if depth is None else depth / found.sizes.L**0.5,
        logit_scale=1.0 if base is None else base / found.sizes.D,
        biased=(found.biased or ()) + files.feed_forward_biases(settings),
    )


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """llama.cpp has the multipliers of the one published model in its code."""
    found = latent.from_gguf(settings)
    return replace(
        found,
        rotary=replace(found.rotary, scaling=Divided(found.sizes.context)),
        embedding_scale=12.0,
        residual_scale=1.4 * found.sizes.L**-0.5,
        logit_scale=256 / found.sizes.D,
    )


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return [*latent.tensors(config), *files.long_and_short_divisor_specs(config)]


ARCHITECTURE = files.family(
    "minicpm3",
    from_huggingface,
    tensors,
    read_gguf=from_gguf,
    defaults={
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "max_position_embeddings": 32_768,
        "kv_lora_rank": 256,
        "q_lora_rank": 768,
        "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 32,
        "scale_emb": 12,
        "scale_depth": 1.4,
        "dim_model_base": 256,
    },
)
