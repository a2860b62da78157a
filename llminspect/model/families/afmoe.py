"""Arcee's Trinity (AFMoE): a gate on what each head reads, norms around each step, three layers with a window to one
without positions; after the first layers mixtures whose router has sigmoids, and an expert for every token.

Arcee AI 2026, "Trinity Large Technical Report", section 2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    for key, value in {"score_func": "sigmoid", "route_norm": True}.items():
        settings.only(key, value)
    for key in ("n_group", "topk_group", "num_expert_groups", "num_limited_groups"):
        settings.only(key, 1)
    settings.skip("load_balance_coeff", "use_grouped_mm")
    sizes = files.sizes_from_huggingface(settings, "moe_intermediate_size", settings.whole("num_experts"))
    known = f"how many layers have one network, 0 to {sizes.L}"
    plain, every = settings.between("num_dense_layers", 0, sizes.L, known), settings.whole("global_attn_every_n_layers")
    router = files.Experts(
        files.chosen_experts(settings, "num_experts_per_tok", sizes.X),
        kind="sigmoid",
        factor=settings.number("route_scale"),
        plain_width=settings.whole("intermediate_size"),
        plain_layers=tuple(range(plain)),
        shared_width=sizes.F * settings.whole("num_shared_experts"),
    )
    scale = sizes.D**0.5 if settings.flag("mup_enabled") else 1.0
    biased = files.attention_biases(settings)
    found = files.from_huggingface(settings, sizes, experts=router, embedding_scale=scale, biased=biased)
    return files.turned_in_windows(files.with_windows(found, settings, lambda index: (index + 1) % every != 0))


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    found = mixtures.from_gguf(settings, router=mixtures.grouped_in_gguf(settings), biased=())
    found = files.turned_in_windows(files.with_windows_of_gguf(found, settings, 4))
    return replace(found, embedding_scale=found.sizes.D**0.5)


NORMS = files.linear_specs(
    ("attention.norm", "D", "input_layernorm", "attn_norm"),
    ("attention.norm_after", "D", "post_attention_layernorm", "post_attention_norm"),
    ("feedforward.norm", "D", "pre_mlp_layernorm", "ffn_norm"),
    ("feedforward.norm_after", "D", "post_mlp_layernorm", "post_ffw_norm"),
)
GATE = files.linear_specs(("attention.gate", "HE D", "self_attn.gate_proj", "attn_gate"))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    mixture = [
        *files.expert_specs(config.sizes.X, "mlp.router.gate", "mlp.experts.{}"),
        mixtures.choice_spec("mlp.expert_bias"),
        *mixtures.shared_specs(config, "mlp.shared_experts"),
    ]
    before = [*NORMS, *files.attention_specs(config), *files.HEAD_NORMS, *GATE]
    return files.around_layers(config, mixtures.layers(config, before, mixture))


DEFAULTS = {
    "rms_norm_eps": 1e-5,
    "head_dim": 128,
    "max_position_embeddings": 16_384,
    "moe_intermediate_size": 1408,
    "num_dense_layers": 1,
    "num_experts": 64,
    "num_experts_per_tok": 6,
    "num_shared_experts": 2,
    "route_scale": 1.0,
    "global_attn_every_n_layers": 4,
    "sliding_window": 1024,
}
ARCHITECTURE = files.family("afmoe", from_huggingface, tensors, read_gguf=from_gguf, defaults=DEFAULTS)
