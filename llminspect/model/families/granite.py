"""Granite 3: Llama's layers with four multipliers, of the embedding, the scores, what each step adds and the logits.

Granite Team 2024, "Granite 3.0 Language Models", section 3; Yang et al. 2022, "Tensor Programs V" (the multipliers).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    return files.from_huggingface(
        settings,
        scale=settings.number("attention_multiplier"),
        embedding_scale=settings.number("embedding_multiplier"),
        residual_scale=settings.number("residual_multiplier"),
        logit_scale=1 / settings.number("logits_scaling"),
        biased=files.attention_biases(settings) + files.feed_forward_biases(settings),
    )


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    found = files.from_gguf(settings)
    return replace(
        found,
        scale=settings.number("attention.scale", found.scale),
        embedding_scale=settings.number("embedding_scale", 1.0),
        residual_scale=settings.number("residual_scale", 1.0),
        logit_scale=1 / settings.number("logit_scale", 1.0),
    )


MULTIPLIERS = ("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling")
ARCHITECTURES = (
    files.family(
        "granite",
        from_huggingface,
        partial(files.plain_tensors, permuted=True),
        gguf="granite",
        read_gguf=from_gguf,
        defaults={"max_position_embeddings": 2048, **dict.fromkeys(MULTIPLIERS, 1.0)},
    ),
)
