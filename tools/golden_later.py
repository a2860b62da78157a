"""Which tiny models stand for the later decoders: odd sizes, windows shorter than the text, each switch of a family on
in one of its models."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from golden_families import SIZES, Family, eager

SMALLER = {
    **SIZES,
    "vocab_size": 83,
    "hidden_size": 24,
    "intermediate_size": 34,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
PART = {"rope_type": "default", "rope_theta": 400.0}

SLOWED = {
    "rope_type": "llama3",
    "rope_theta": 50.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def family(name: str, config: Any, model: Any, **settings: Any) -> Family:
    layers, rounded = settings.pop("layers", None), settings.pop("rounded_to", None)
    more = {"layers": layers} if layers else {}
    return Family(
        name, eager(config, **{**SMALLER, **settings}), model, tokens=23, vocabulary=83, rounded_to=rounded, **more
    )


FAMILIES = [
    family("olmo", t.OlmoConfig, t.OlmoForCausalLM, clip_qkv=1.1),
    family(
        "olmo3",
        t.Olmo3Config,
        t.Olmo3ForCausalLM,
        num_hidden_layers=4,
        hidden_size=36,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=6,
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 500_000.0},
            "full_attention": {
                "rope_type": "yarn",
                "rope_theta": 500_000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
                "attention_factor": 1.2,
                "beta_fast": 4.25,
                "beta_slow": 0.356,
            },
        },
    ),
    family(
        "exaone4",
        t.Exaone4Config,
        t.Exaone4ForCausalLM,
        num_hidden_layers=5,
        sliding_window=7,
        rope_parameters=PART,
        rounded_to=torch.bfloat16,
    ),
    family(
        "exaone4-whole", t.Exaone4Config, t.Exaone4ForCausalLM, sliding_window=None, layer_types=["full_attention"] * 3
    ),
    family("seed-oss", t.SeedOssConfig, t.SeedOssForCausalLM, head_dim=10, attention_out_bias=True, mlp_bias=True),
    family(
        "cwm",
        t.CwmConfig,
        t.CwmForCausalLM,
        head_dim=10,
        num_hidden_layers=5,
        sliding_window=6,
        mlp_bias=True,
        rope_parameters=SLOWED,
    ),
    family(
        "granite",
        t.GraniteConfig,
        t.GraniteForCausalLM,
        attention_multiplier=0.3,
        embedding_multiplier=2.5,
        residual_multiplier=0.7,
        logits_scaling=3.0,
        attention_bias=True,
        mlp_bias=True,
    ),
    family("cohere", t.CohereConfig, t.CohereForCausalLM, use_qk_norm=True, attention_bias=True, rope_parameters=PART),
    family("cohere2", t.Cohere2Config, t.Cohere2ForCausalLM, num_hidden_layers=5, sliding_window=6, logit_scale=0.3),
    family("glm", t.GlmConfig, t.GlmForCausalLM, head_dim=12, rope_parameters={**PART, "partial_rotary_factor": 0.5}),
    family(
        "glm4", t.Glm4Config, t.Glm4ForCausalLM, head_dim=12, rope_parameters={**PART, "partial_rotary_factor": 0.34}
    ),
    family("ernie4_5", t.Ernie4_5Config, t.Ernie4_5ForCausalLM, head_dim=10, use_bias=True, rope_parameters=PART),
    family(
        "hunyuan",
        t.HunYuanDenseV1Config,
        t.HunYuanDenseV1ForCausalLM,
        head_dim=10,
        attention_bias=True,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 100.0, "alpha": 50.0, "factor": 1.0},
    ),
    family("helium", t.HeliumConfig, t.HeliumForCausalLM, head_dim=6, attention_bias=True, mlp_bias=True),
    family("arcee", t.ArceeConfig, t.ArceeForCausalLM, head_dim=10, mlp_bias=True, rope_parameters=PART),
    family(
        "nemotron",
        t.NemotronConfig,
        t.NemotronForCausalLM,
        head_dim=12,
        attention_bias=True,
        rope_parameters={**PART, "partial_rotary_factor": 0.5},
    ),
    family(
        "stablelm",
        t.StableLmConfig,
        t.StableLmForCausalLM,
        num_attention_heads=3,
        num_key_value_heads=1,
        use_qkv_bias=True,
        rope_parameters={**PART, "partial_rotary_factor": 0.8},
    ),
    family(
        "stablelm-parallel",
        t.StableLmConfig,
        t.StableLmForCausalLM,
        num_attention_heads=3,
        num_key_value_heads=3,
        qk_layernorm=True,
        use_parallel_residual=True,
        rope_parameters={**PART, "partial_rotary_factor": 0.8},
    ),
    family("starcoder2", t.Starcoder2Config, t.Starcoder2ForCausalLM, sliding_window=8, rope_parameters=PART),
    family(
        "phi",
        t.PhiConfig,
        t.PhiForCausalLM,
        num_attention_heads=3,
        num_key_value_heads=3,
        qk_layernorm=True,
        rope_parameters={**PART, "partial_rotary_factor": 0.8},
    ),
]
