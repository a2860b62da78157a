"""Which tiny models stand for decoders that differ in one mechanism from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import transformers as t
from golden_families import Family, eager
from golden_later import EYE, PART, ROTATION_IN_THREE, with_pictures
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe

SMALL = {
    "vocab_size": 47,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 10,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def small(name: str, config: Any, model: Any, tokens: int = 11, **settings: Any) -> Family:
    more = {key: settings.pop(key) for key in ("layers", "published") if key in settings}
    settings = {key: value for key, value in {**SMALL, **settings}.items() if value != "none"}
    return Family(name, eager(config, **settings), model, tokens=tokens, prompt=5, vocabulary=47, **more)


class DeepseekForCausalLM(t.LlamaForCausalLM):
    """The reference has no class for the first DeepSeekMoE: Llama's, with the mixtures of the second, which has no
    groups then."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for layer in self.model.layers[config.first_k_dense_replace :]:
            layer.mlp = DeepseekV2Moe(config)


def deepseek(config: dict[str, Any]) -> dict[str, Any]:
    not_its = ("topk_method", "n_group", "topk_group", "routed_scaling_factor", "mlp_bias", "num_experts")
    return {key: value for key, value in config.items() if key not in not_its} | {"model_type": "deepseek"}


MIXTURE = {"moe_intermediate_size": 6, "num_experts_per_tok": 2}
FAMILIES = [
    small(
        "deepseek",
        t.LlamaConfig,
        DeepseekForCausalLM,
        **MIXTURE,
        n_routed_experts=5,
        num_experts=5,
        n_shared_experts=2,
        first_k_dense_replace=1,
        topk_method="greedy",
        n_group=1,
        topk_group=1,
        routed_scaling_factor=1.0,
        scoring_func="softmax",
        norm_topk_prob=False,
        rope_parameters=PART,
        published=deepseek,
    ),
    small(
        "phi-plain",
        t.PhiConfig,
        t.PhiForCausalLM,
        num_key_value_heads=2,
        head_dim="none",
        rope_parameters={**PART, "partial_rotary_factor": 0.75, "rope_theta": 10_000.0},
    ),
    small(
        "jais2",
        t.Jais2Config,
        t.Jais2ForCausalLM,
        rope_parameters=PART,
        head_dim=8,
    ),
    small(
        "hyperclovax",
        t.HyperCLOVAXConfig,
        t.HyperCLOVAXForCausalLM,
        rope_parameters=PART,
        embedding_multiplier=1.5,
        residual_multiplier=0.7,
        attention_multiplier=0.4,
        logits_scaling=0.6,
    ),
    small(
        "solar_open",
        t.SolarOpenConfig,
        t.SolarOpenForCausalLM,
        **MIXTURE,
        intermediate_size="none",
        n_routed_experts=6,
        n_shared_experts=1,
        n_group=2,
        topk_group=1,
        routed_scaling_factor=1.7,
        rope_parameters=PART,
    ),
    replace(
        with_pictures(
            "qwen3_vl_moe",
            t.Qwen3VLMoeConfig,
            t.Qwen3VLMoeForConditionalGeneration,
            {
                **MIXTURE,
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "head_dim": 10,
                "num_experts": 5,
                "mlp_only_layers": [0],
                "rope_parameters": {**ROTATION_IN_THREE, "mrope_section": [2, 2, 1], "mrope_interleaved": True},
                "tie_word_embeddings": True,
            },
            {
                **{key: EYE[key] for key in ("hidden_size", "intermediate_size")},
                "depth": 1,
                "num_heads": 2,
                "patch_size": 4,
                "out_hidden_size": 16,
                "deepstack_visual_indexes": [0],
                "num_position_embeddings": 16,
            },
        ),
        tokens=11,
        prompt=5,
    ),
]
