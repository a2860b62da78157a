"""Which tiny models stand for Gemma 4: keys that are borrowed, vectors for each layer, two widths of heads."""

from __future__ import annotations

import transformers as t
from golden_families import Family, eager

SIZES = {"vocab_size": 47, "hidden_size": 20, "intermediate_size": 14, "num_attention_heads": 2, "head_dim": 6}
PATTERN = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
ROTATIONS = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 50.0},
}


def gemma4(name: str, **settings: object) -> Family:
    given = {**SIZES, "max_position_embeddings": 64, "sliding_window": 5, "rope_parameters": ROTATIONS, **settings}
    return Family(name, eager(t.Gemma4TextConfig, **given), t.Gemma4ForCausalLM, tokens=13, vocabulary=47)


def gemma3n() -> Family:
    config = eager(
        t.Gemma3nTextConfig,
        **{**SIZES, "hidden_size": 12, "intermediate_size": [10] * 4, "head_dim": 4},
        num_hidden_layers=4,
        num_key_value_heads=1,
        max_position_embeddings=64,
        sliding_window=5,
        layer_types=PATTERN,
        num_kv_shared_layers=2,
        rope_parameters={
            kind: {"rope_type": "default", "rope_theta": base}
            for kind, base in (("sliding_attention", 100.0), ("full_attention", 50.0))
        },
        hidden_size_per_layer_input=4,
        vocab_size_per_layer_input=40,
        altup_num_inputs=3,
        altup_active_idx=1,
        laurel_rank=64,  # GGUF files do not state it.
        activation_sparsity_pattern=[0.6, 0.0, 0.4, 0.0],
        final_logit_softcapping=4.0,
    )
    return Family("gemma3n", config, t.Gemma3nForCausalLM, tokens=13, vocabulary=47, active=1)


FAMILIES = [
    gemma3n(),
    gemma4(
        "gemma4",
        num_hidden_layers=4,
        num_key_value_heads=1,
        global_head_dim=10,
        layer_types=PATTERN,
        num_kv_shared_layers=2,
        hidden_size_per_layer_input=4,
        vocab_size_per_layer_input=47,
        use_double_wide_mlp=True,
        final_logit_softcapping=4.0,
    ),
    gemma4(
        "gemma4-same-keys",
        num_hidden_layers=2,
        num_key_value_heads=2,
        num_global_key_value_heads=1,
        global_head_dim=8,
        layer_types=PATTERN[:2],
        hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=47,
        attention_k_eq_v=True,
    ),
    gemma4(
        "gemma4-experts",
        hidden_size=12,
        intermediate_size=7,
        head_dim=4,
        num_hidden_layers=2,
        num_key_value_heads=1,
        global_head_dim=8,
        layer_types=PATTERN[:2],
        hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=47,
        enable_moe_block=True,
        num_experts=4,
        top_k_experts=2,
        moe_intermediate_size=5,
        rms_norm_eps=0.1,  # Else no number shows what the norm after the experts takes out.
    ),
]
