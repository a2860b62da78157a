"""DeepSeek-V2 and V3 (R1, Kimi K2), GLM-4.7-Flash: latent attention, after the first layers mixtures of experts.

V2 chooses experts by a softmax, V3 by sigmoids and a bias that counts in the choice alone; both look at the best
groups.
DeepSeek-AI 2024, "DeepSeek-V2", section 2; DeepSeek-AI 2024, "DeepSeek-V3", section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from llminspect.core.routing import Groups
from llminspect.model import decoder_files as files
from llminspect.model import latent_files as latent
from llminspect.model import mixture_files as mixtures


def lite_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    layers = settings.whole("num_hidden_layers")
    kinds = settings.get("mlp_layer_types", ["dense", *["sparse"] * (layers - 1)])
    plain = kinds.count("dense") if isinstance(kinds, list) else 0
    if kinds != ["dense"] * plain + ["sparse"] * (layers - plain):
        raise settings.wrong("mlp_layer_types", f"dense, and after that sparse, for {layers} layers")
    settings.only("first_k_dense_replace", plain)
    return v3_from_huggingface(settings, plain)


def v3_from_huggingface(settings: files.Settings, plain: int | None = None) -> files.DecoderConfig:
    settings.only("topk_method", "noaux_tc")
    settings.only("scoring_func", "sigmoid")
    found = mixed_from_huggingface(settings, mixtures.grouped_router, plain)
    return files.interleaved(found) if settings.flag("rope_interleave", True) else found


def v2_from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    settings.only("scoring_func", "softmax")
    return files.interleaved(mixed_from_huggingface(settings, _router_of_v2))


def _router_of_v2(settings: files.Settings, experts: int) -> files.Experts:
    settings.only("norm_topk_prob", False)
    if settings.one_of("topk_method", {"greedy": False, "group_limited_greedy": True}):
        found = mixtures.grouped_router(settings, experts)
        by_group = found.by_group and replace(found.by_group, best=1)
        return replace(found, kind="softmax", among_chosen=False, by_group=by_group)
    settings.skip("n_group", "topk_group")
    chosen = files.chosen_experts(settings, "num_experts_per_tok", experts)
    return files.Experts(chosen, among_chosen=False, factor=settings.number("routed_scaling_factor"))


def mixed_from_huggingface(
    settings: files.Settings, router: Callable[[files.Settings, int], files.Experts], plain: int | None = None
) -> files.DecoderConfig:
    """With `plain` layers of one network in front, or as many as the file says, and experts after them."""
    layers = settings.whole("num_hidden_layers")
    if plain is None:
        plain = settings.between("first_k_dense_replace", 0, inf, PLAIN, 0)
    more = mixtures.layers_after(settings)
    settings.only("moe_layer_freq", 1)
    settings.skip("aux_loss_alpha", "seq_aux")
    if plain >= layers:
        settings.skip(*OF_MIXTURES)
        return latent.from_huggingface(settings, layers_after=more)
    experts = settings.whole("n_routed_experts")
    found = latent.from_huggingface(settings, "moe_intermediate_size", experts_in=experts, layers_after=more)
    mixture = replace(
        router(settings, experts),
        shared_width=found.sizes.F * settings.whole("n_shared_experts"),
        plain_width=settings.whole("intermediate_size"),
        plain_layers=tuple(range(plain)),
    )
    return replace(found, experts=mixture)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    """Of all of these, and of Youtu-LLM, whose layers all have one network. Files of before 2025 state no groups."""
    layers, plain = settings.whole("block_count"), settings.between("leading_dense_block_count", 0, inf, PLAIN, 0)
    settings.only("expert_feed_forward_length", settings.get("expert_feed_forward_length"))
    if plain >= layers:
        settings.skip("expert_weights_scale", "expert_weights_norm", "expert_gating_func", "expert_used_count")
        settings.skip("expert_count", "expert_shared_count", "expert_group_count", "expert_group_used_count")
        return files.interleaved(latent.from_gguf(settings))
    experts, width = settings.whole("expert_count"), settings.whole("expert_feed_forward_length")
    found = files.interleaved(latent.from_gguf(settings, experts_in=experts))
    lite = layers in (47, 48) and settings.whole("vocab_size") == 154_880  # GLM-4.7-Flash, whose files do not say it.
    kind = settings.get("expert_gating_func", 2 if lite else 1)
    if kind not in (1, 2):
        raise settings.wrong("expert_gating_func", "1 (softmax) or 2 (sigmoid)")
    groups = settings.whole("expert_group_count", 1)
    looked_at = settings.whole("expert_group_used_count", groups)
    if experts % groups or looked_at > groups:
        raise settings.wrong("expert_group_count", f"a number that parts {experts} experts evenly, {looked_at} or more")
    mixture = files.Experts(
        chosen=files.chosen_experts(settings, "expert_used_count", experts),
        among_chosen=settings.flag("expert_weights_norm"),
        kind="sigmoid" if kind == 2 else "softmax",
        by_group=None if groups == looked_at else Groups(experts // groups, looked_at, best=kind),
        factor=settings.number("expert_weights_scale", 1.0),
        shared_width=width * settings.whole("expert_shared_count"),
        plain_width=found.sizes.F,
        plain_layers=tuple(range(plain)),
    )
    return replace(found, experts=mixture, sizes=replace(found.sizes, F=width))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    if config.experts is None:
        return latent.tensors(config)
    mixture = mixtures.grouped_specs(config, config.experts.kind == "sigmoid")
    before = [*files.NORMS_BEFORE, *latent.attention_specs(config)]
    return files.around_layers(config, mixtures.layers(config, before, mixture))


PLAIN = "how many layers have one network, from 0"
OF_MIXTURES = tuple(
    "moe_intermediate_size n_routed_experts n_shared_experts n_group topk_group num_experts_per_tok norm_topk_prob "
    "routed_scaling_factor topk_method".split()
)
"""What a model whose layers all have one network states for none."""
WIDTHS = {"kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
V3 = WIDTHS | {
    "max_position_embeddings": 4096,
    "first_k_dense_replace": 3,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "n_group": 8,
    "topk_group": 4,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
}
V2 = WIDTHS | {
    "max_position_embeddings": 2048,
    "moe_intermediate_size": 1407,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "topk_method": "greedy",
    "routed_scaling_factor": 1.0,
}
LITE = V3 | {
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 202_752,
    "q_lora_rank": 768,
    "qk_nope_head_dim": 192,
    "v_head_dim": 256,
    "first_k_dense_replace": None,
    "moe_intermediate_size": 1536,
    "n_routed_experts": 64,
    "num_experts_per_tok": 4,
    "n_group": 1,
    "topk_group": 1,
    "routed_scaling_factor": 1.8,
}
ARCHITECTURES = (
    files.family(
        "deepseek-v3",
        v3_from_huggingface,
        tensors,
        model_types=("deepseek_v3", "kimi_k2"),
        gguf="deepseek2",
        read_gguf=from_gguf,
        defaults=V3,
    ),
    files.family("deepseek-v2", v2_from_huggingface, tensors, defaults=V2),
    files.family("glm4-moe-lite", lite_from_huggingface, tensors, defaults=LITE),
)
