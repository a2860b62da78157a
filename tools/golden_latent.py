"""Which tiny models stand for the decoders with multi-head latent attention."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager

SIZES = {"vocab_size": 83, "hidden_size": 24, "intermediate_size": 34, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 3, "num_key_value_heads": 3, "max_position_embeddings": 64}
WIDTHS = {"qk_nope_head_dim": 5, "qk_rope_head_dim": 6, "v_head_dim": 7, "kv_lora_rank": 6, "q_lora_rank": 10}
STRETCHED = {
    "rope_type": "yarn",
    "rope_theta": 50.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 2.0,
    "beta_slow": 0.5,
    "mscale": 0.707,
    "mscale_all_dim": 0.9,
}


EVEN = {**STRETCHED, "mscale": 0.9}
"""With nothing left for the rotation: all of YaRN's gain is in the scale of the scores, as in the published models."""


def latent(name: str, config: Any, model: Any, **settings: Any) -> Family:
    """With experts the text is longer, so that groups of them are compared often."""
    sizes = {**SIZES, **HEADS, **WIDTHS, "rope_parameters": STRETCHED}
    tokens = 23 if settings.get("n_group", 1) > 1 else 13
    return Family(name, eager(config, **{**sizes, **settings}), model, tokens=tokens, vocabulary=83)


MIXTURE = {
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 10,
    "n_shared_experts": 2,
    "n_group": 2,
    "topk_group": 1,
    "routed_scaling_factor": 1.7,
}
TURNED = {"rope_type": "default", "rope_theta": 400.0}
FAMILIES = [
    latent("deepseek-v3", t.DeepseekV3Config, t.DeepseekV3ForCausalLM, **MIXTURE, rope_parameters=EVEN),
    latent(
        "deepseek-v2",
        t.DeepseekV2Config,
        t.DeepseekV2ForCausalLM,
        **{
            **MIXTURE,
            "topk_method": "group_limited_greedy",
            "q_lora_rank": None,
            "qk_nope_head_dim": 4,
            "first_k_dense_replace": 0,
        },
        rope_parameters=TURNED,
    ),
    latent(
        "glm4-moe-lite",
        t.Glm4MoeLiteConfig,
        t.Glm4MoeLiteForCausalLM,
        **{
            **MIXTURE,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
            "mlp_layer_types": ["dense", "sparse"],
        },
        rope_parameters=TURNED,
    ),
    latent("youtu", t.YoutuConfig, t.YoutuForCausalLM, attention_bias=True),
    latent(
        "minicpm3",
        t.MiniCPM3Config,
        t.MiniCPM3ForCausalLM,
        v_head_dim=8,
        scale_emb=12,
        scale_depth=1.4,
        dim_model_base=256,
        rope_parameters=TURNED,
    ),
]
