"""Which tiny models stand for the decoders some or all of whose layers keep a state."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager

SMALL = {
    "vocab_size": 83,
    "hidden_size": 18,
    "intermediate_size": 22,
    "num_attention_heads": 3,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = {**SMALL, "num_key_value_heads": 1}
MAMBA = {"mamba_n_heads": 4, "mamba_n_groups": 2, "mamba_d_state": 5, "mamba_d_conv": 3, "mamba_chunk_size": 4}
DELTA = {
    **GROUPED,
    "hidden_size": 20,
    "num_hidden_layers": 2,
    "layer_types": ["linear_attention", "full_attention"],
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 5,
    "linear_value_head_dim": 3,
    "linear_conv_kernel_dim": 3,
    "rope_parameters": {"rope_type": "default", "rope_theta": 400.0, "partial_rotary_factor": 0.5},
}


def mamba(name: str, config: Any, model: Any, **settings: Any) -> Family:
    sizes = {"vocab_size": 83, "hidden_size": 18, "num_hidden_layers": 2, "conv_kernel": 3, "expand": 2}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    layers = {"layers": lambda model: model.backbone.layers, "tokens": 11, "vocabulary": 83}
    return Family(name, lambda: config(**sizes, **ids, **settings), model, **layers)


FAMILIES = [
    Family(
        "lfm2",
        eager(
            t.Lfm2Config,
            **GROUPED,
            num_hidden_layers=3,
            layer_types=["conv", "full_attention", "conv"],
            conv_bias=True,
            conv_L_cache=3,
            block_multiple_of=10,
            rope_parameters={"rope_type": "default", "rope_theta": 400.0},
        ),
        t.Lfm2ForCausalLM,
        tokens=13,
        vocabulary=83,
    ),
    mamba("mamba", t.MambaConfig, t.MambaForCausalLM, state_size=5, time_step_rank=3, use_bias=True),
    mamba(
        "mamba2",
        t.Mamba2Config,
        t.Mamba2ForCausalLM,
        state_size=5,
        num_heads=4,
        head_dim=9,
        n_groups=2,
        chunk_size=4,
        time_step_limit=(0.2, 1.5),
    ),
    Family(
        "qwen3_5",
        eager(t.Qwen3_5TextConfig, **DELTA),
        t.Qwen3_5ForCausalLM,
        tokens=13,
        vocabulary=83,
    ),
    Family(
        "qwen3_next",
        eager(
            t.Qwen3NextConfig,
            **DELTA,
            num_experts=5,
            num_experts_per_tok=2,
            moe_intermediate_size=14,
            shared_expert_intermediate_size=12,
            norm_topk_prob=True,
        ),
        t.Qwen3NextForCausalLM,
        tokens=13,
        vocabulary=83,
    ),
    Family(
        "granitemoehybrid",
        eager(
            t.GraniteMoeHybridConfig,
            **GROUPED,
            **MAMBA,
            num_hidden_layers=2,
            layer_types=["linear_attention", "full_attention"],
            shared_intermediate_size=22,
            num_local_experts=0,
            embedding_multiplier=2.5,
            logits_scaling=1.7,
            residual_multiplier=0.6,
            attention_multiplier=0.4,
            mamba_proj_bias=True,
            position_embedding_type="rope",
        ),
        t.GraniteMoeHybridForCausalLM,
        tokens=13,
        vocabulary=83,
    ),
    Family(
        "bamba",
        eager(
            t.BambaConfig,
            **{**GROUPED, "hidden_size": 24},
            **MAMBA,
            num_hidden_layers=2,
            attn_layer_indices=[1],
            mamba_conv_bias=False,
            rope_parameters={"rope_type": "default", "rope_theta": 400.0, "partial_rotary_factor": 0.5},
        ),
        t.BambaForCausalLM,
        tokens=11,
        vocabulary=83,
    ),
]
