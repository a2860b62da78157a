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
        biased=files.all_biases(settings),
    )


def mixture_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    shared = settings.get("shared_intermediate_size") or None
    experts = files.Experts(
        files.chosen_experts(settings, "num_experts_per_tok", sizes.X),
        shared_width=None if shared is None else settings.whole("shared_intermediate_size"),
    )
    return replace(from_huggingface(settings, sizes), experts=experts)


def clova_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    """HyperCLOVA X SEED Think: the logits are multiplied, what each step adds may be normed (here `head_norms`)."""
    sizes, key = files.sizes_from_huggingface(settings), "attention_multiplier"
    if settings.get(key) is None:
        settings.values = {**settings.values, key: sizes.E**-0.5}
    found = from_huggingface(settings, sizes)
    return replace(found, logit_scale=settings.number("logits_scaling"), head_norms=settings.flag("use_post_norm"))


def clova_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    norms_after = files.linear_specs(
        ("attention.norm_after", "D", "post_norm1", None), ("feedforward.norm_after", "D", "post_norm2", None)
    )
    norms = [*files.NORMS_BEFORE, *files.if_there(config.head_norms, norms_after)]
    return files.around_layers(config, [*norms, *files.attention_specs(config), *files.feed_forward_specs(config)])


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


def shared_specs(part: str, width: str, suffix: str) -> list[files.TensorSpec]:
    """Of the network that works on every token; GGUF files have `suffix` after its names where there are others."""
    both = "shared_mlp.input_linear.weight"
    gate, up = (f"ffn_{name}{suffix}.weight" for name in ("gate", "up"))
    return [
        files.TensorSpec(f"{part}.gate.weight", f"{width} D", both, gate, mixtures.first_half),
        files.TensorSpec(f"{part}.up.weight", f"{width} D", both, up, mixtures.second_half),
        *files.linear_specs((f"{part}.down", f"D {width}", "shared_mlp.output_linear", f"ffn_down{suffix}")),
    ]


def fed_specs(config: files.DecoderConfig) -> list[files.TensorSpec]:
    """The mixture, and the expert of all tokens where there is one."""
    width = config.experts and config.experts.shared_width
    return [
        *mixtures.stacked_specs(
            f"{BLOCK}.router.layer.weight", f"{BLOCK}.input_linear.weight", f"{BLOCK}.output_linear.weight"
        ),
        *(shared_specs("feedforward.shared", str(width), "_shexp") if width else ()),
    ]


def mixture_tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [*files.NORMS_BEFORE, *files.attention_specs(config, permuted=True), *fed_specs(config)]
    return files.around_layers(config, layer)


MULTIPLIERS = ("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling")
DEFAULTS = {"max_position_embeddings": 2048, **dict.fromkeys(MULTIPLIERS, 1.0)}
BLOCK = "block_sparse_moe"
TODAY = {
    "experts.gate_up_proj": "input_linear.weight",
    "experts.down_proj": "output_linear.weight",
    "router.weight": "router.layer.weight",
}
SPELLINGS = tuple((f".{BLOCK}.{today}", f".{BLOCK}.{older}") for today, older in TODAY.items())
"""What a file calls the parts of a mixture where it was not brought back to the names of before transformers 5."""
ARCHITECTURES = (
    files.family(
        "granite", from_huggingface, partial(files.plain_tensors, permuted=True), read_gguf=from_gguf, defaults=DEFAULTS
    ),
    files.family(
        "hyperclovax",
        clova_from_huggingface,
        clova_tensors,
        defaults={**DEFAULTS, "attention_multiplier": None, "use_post_norm": True},
    ),
    files.family(
        "granitemoe",
        mixture_from_huggingface,
        mixture_tensors,
        model_types=("granitemoe", "granitemoeshared"),
        read_gguf=mixture_from_gguf,
        defaults={**DEFAULTS, "num_local_experts": 8, "num_experts_per_tok": 2},
        spellings=SPELLINGS,
    ),
)
