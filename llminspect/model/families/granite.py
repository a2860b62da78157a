"""Granite 3: Llama's layers with four multipliers, of the embedding, the scores, what each step adds and the logits;
its mixtures, some with an expert for every token.

Granite Team 2024, "Granite 3.0 Language Models", section 3; Yang et al. 2022, "Tensor Programs V" (the multipliers).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures


def from_huggingface(settings: files.Settings, sizes: files.Sizes | None = None) -> files.DecoderConfig:
    return files.from_huggingface(
        settings,
        sizes,
        scale=settings.number("attention_multiplier"),
        embedding_scale=settings.number("embedding_multiplier"),
        residual_scale=settings.number("residual_multiplier"),
        logit_scale=1 / settings.number("logits_scaling"),
        biased=files.attention_biases(settings) + files.feed_forward_biases(settings),
    )


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    shared = settings.get("shared_intermediate_size") or None
    experts = files.Experts(
        files.chosen_experts(settings, "num_experts_per_tok", sizes.X),
        shared_width=None if shared is None else settings.whole("shared_intermediate_size"),
    )
    return replace(from_huggingface(settings, sizes), experts=experts)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return _multiplied(files.from_gguf(settings), settings)


def mixture_from_gguf(settings: files.Settings) -> files.DecoderConfig:
    key = "expert_shared_feed_forward_length"
    shared = None if settings.get(key) is None else settings.whole(key)
    return _multiplied(mixtures.from_gguf(settings, router={"shared_width": shared}), settings)


def _multiplied(found: files.DecoderConfig, settings: files.Settings) -> files.DecoderConfig:
    return replace(
        found,
        scale=settings.number("attention.scale", found.scale),
        embedding_scale=settings.number("embedding_scale", 1.0),
        residual_scale=settings.number("residual_scale", 1.0),
        logit_scale=1 / settings.number("logit_scale", 1.0),
    )


def mixture_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    block, shared = "block_sparse_moe", "shared_mlp.input_linear.weight"
    assert config.experts is not None
    width = config.experts.shared_width
    of_all = (
        files.TensorSpec(
            "feedforward.shared.gate.weight", f"{width} D", shared, "ffn_gate_shexp.weight", mixtures.first_half
        ),
        files.TensorSpec(
            "feedforward.shared.up.weight", f"{width} D", shared, "ffn_up_shexp.weight", mixtures.second_half
        ),
        *files.linear_specs(
            ("feedforward.shared.down", f"D {width}", "shared_mlp.output_linear", "ffn_down_shexp"),
        ),
    )
    layer = [
        *files.NORMS_BEFORE,
        *files.attention_specs(config, permuted=True),
        *mixtures.stacked_specs(
            f"{block}.router.layer.weight", f"{block}.input_linear.weight", f"{block}.output_linear.weight"
        ),
        *(of_all if width else ()),
    ]
    return files.around_layers(config, layer)


MULTIPLIERS = ("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling")
DEFAULTS = {"max_position_embeddings": 2048, **dict.fromkeys(MULTIPLIERS, 1.0)}
MIXTURE = files.family(
    "granitemoe",
    mixture_from_huggingface,
    mixture_tensors,
    gguf="granitemoe",
    read_gguf=mixture_from_gguf,
    defaults={**DEFAULTS, "num_local_experts": 8, "num_experts_per_tok": 2},
)
ARCHITECTURES = (
    files.family(
        "granite",
        from_huggingface,
        partial(files.plain_tensors, permuted=True),
        gguf="granite",
        read_gguf=from_gguf,
        defaults=DEFAULTS,
    ),
    replace(MIXTURE, model_types=("granitemoe", "granitemoeshared")),
)
