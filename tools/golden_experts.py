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
]
