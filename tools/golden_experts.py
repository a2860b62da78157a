"""Which tiny models stand for the later mixtures of experts: every router and every way to keep experts is in one."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager

SIZES = {
    "vocab_size": 83,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "num_experts_per_tok": 2,
}
PART = {"rope_type": "default", "rope_theta": 400.0}
GROUPED = {
    "moe_intermediate_size": 10,
    "n_routed_experts": 6,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.7,
    "norm_topk_prob": True,
}


def mixture(name: str, config: Any, model: Any, **settings: Any) -> Family:
    return Family(
        name,
        eager(config, **{**SIZES, "rope_parameters": PART, **settings}),
        model,
        tokens=13,
        vocabulary=83,
    )


FAMILIES = [
    mixture(
        "granitemoe",
        t.GraniteMoeSharedConfig,
        t.GraniteMoeSharedForCausalLM,
        num_local_experts=5,
        shared_intermediate_size=14,
        attention_multiplier=0.3,
        embedding_multiplier=2.5,
        residual_multiplier=0.7,
        logits_scaling=3.0,
    ),
    mixture(
        "phimoe",
        t.PhimoeConfig,
        t.PhimoeForCausalLM,
        num_local_experts=5,
        router_jitter_noise=0.3,
        attention_bias=True,
        lm_head_bias=True,
        sliding_window=6,
    ),
    mixture(
        "ernie4_5_moe",
        t.Ernie4_5_MoeConfig,
        t.Ernie4_5_MoeForCausalLM,
        num_hidden_layers=3,
        moe_num_experts=5,
        moe_k=2,
        moe_num_shared_experts=2,
        moe_intermediate_size=10,
        moe_layer_start_index=1,
    ),
    mixture(
        "hunyuan_v1_moe",
        t.HunYuanMoEV1Config,
        t.HunYuanMoEV1ForCausalLM,
        head_dim=10,
        num_experts=5,
        moe_topk=2,
    ),
    mixture(
        "minimax_m2",
        t.MiniMaxM2Config,
        t.MiniMaxM2ForCausalLM,
        head_dim=10,
        num_local_experts=5,
        rope_parameters={**PART, "partial_rotary_factor": 0.6},
    ),
    mixture(
        "olmoe",
        t.OlmoeConfig,
        t.OlmoeForCausalLM,
        num_experts=5,
    ),
    mixture(
        "flex_olmo",
        t.FlexOlmoConfig,
        t.FlexOlmoForCausalLM,
        num_experts=5,
        norm_topk_prob=True,
        pad_token_id=0,
    ),
    mixture(
        "dots1",
        t.Dots1Config,
        t.Dots1ForCausalLM,
        num_hidden_layers=3,
        head_dim=10,
        **GROUPED,
        n_shared_experts=2,
        sliding_window=6,
        max_window_layers=1,
    ),
    mixture(
        "glm4_moe",
        t.Glm4MoeConfig,
        t.Glm4MoeForCausalLM,
        head_dim=12,
        **GROUPED,
        attention_bias=True,
        use_qk_norm=True,
        num_nextn_predict_layers=0,
        rope_parameters={**PART, "partial_rotary_factor": 0.5},
    ),
]
