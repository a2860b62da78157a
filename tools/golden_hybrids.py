"""Which tiny models stand for the decoders that have a state beside attention or experts."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager

SMALL = {
    "vocab_size": 47,
    "hidden_size": 12,
    "intermediate_size": 14,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
TURNED = {"rope_type": "default", "rope_theta": 400.0}
LAYERS = ["linear_attention", "full_attention"]
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 10}


def small(name: str, config: Any, model: Any, **settings: Any) -> Family:
    return Family(name, eager(config, **{**SMALL, **settings}), model, tokens=11, vocabulary=47)


FAMILIES = [
    small(
        "qwen3_5_moe",
        t.Qwen3_5MoeTextConfig,
        t.Qwen3_5MoeForCausalLM,
        layer_types=LAYERS,
        head_dim=6,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=5,
        linear_value_head_dim=3,
        linear_conv_kernel_dim=3,
        shared_expert_intermediate_size=8,
        rope_parameters={**TURNED, "partial_rotary_factor": 0.7},
        **EXPERTS,
    ),
    small(
        "granitemoehybrid-experts",
        t.GraniteMoeHybridConfig,
        t.GraniteMoeHybridForCausalLM,
        layer_types=LAYERS,
        mamba_n_heads=4,
        mamba_n_groups=2,
        mamba_d_state=5,
        mamba_d_conv=3,
        mamba_chunk_size=4,
        shared_intermediate_size=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        embedding_multiplier=2.5,
        logits_scaling=1.7,
        residual_multiplier=0.6,
        attention_multiplier=0.4,
        position_embedding_type="rope",
    ),
    small(
        "lfm2_moe",
        t.Lfm2MoeConfig,
        t.Lfm2MoeForCausalLM,
        layer_types=["conv", "full_attention"],
        conv_L_cache=3,
        num_dense_layers=1,
        routed_scaling_factor=1.3,
        rope_parameters=TURNED,
        **EXPERTS,
    ),
]
