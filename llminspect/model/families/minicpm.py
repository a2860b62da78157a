"""MiniCPM 1 and 2: Llama's layers with three multipliers, of the embedding, what each step adds and the logits.

Hu et al. 2024, "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies", table 7.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    found = files.from_huggingface(settings, embedding_scale=settings.number("scale_emb"))
    if found.rotary.scaling is not None:  # MiniCPM 4's turns short texts otherwise than Phi's of that name.
        key = "rope_parameters" if settings.values.get("rope_scaling") is None else "rope_scaling"
        raise settings.wrong(key, "none: another rotation is not known of MiniCPM")
    return replace(
        found,
        residual_scale=settings.number("scale_depth") * found.sizes.L**-0.5,
        logit_scale=settings.number("dim_model_base") / found.sizes.D,
    )


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return files.from_gguf(
        settings,
        embedding_scale=settings.number("embedding_scale"),
        residual_scale=settings.number("residual_scale"),
        logit_scale=1 / settings.number("logit_scale"),
    )


ARCHITECTURE = files.family(
    "minicpm",
    from_huggingface,
    partial(files.plain_tensors, permuted=True),
    read_gguf=from_gguf,
    defaults={
        "tie_word_embeddings": True,
        "max_position_embeddings": 2048,
        **dict.fromkeys(("scale_emb", "scale_depth", "dim_model_base"), 1),
    },
)
