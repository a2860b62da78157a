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


def latent(name: str, config: Any, model: Any, **settings: Any) -> Family:
    sizes = {**SIZES, **HEADS, **WIDTHS, "rope_parameters": STRETCHED}
    return Family(name, eager(config, **{**sizes, **settings}), model, tokens=13, vocabulary=83)


FAMILIES = [
    latent("youtu", t.YoutuConfig, t.YoutuForCausalLM, attention_bias=True),
    latent(
        "minicpm3",
        t.MiniCPM3Config,
        t.MiniCPM3ForCausalLM,
        v_head_dim=8,
        scale_emb=12,
        scale_depth=1.4,
        dim_model_base=256,
        rope_parameters={"rope_type": "default", "rope_theta": 400.0},
    ),
]
