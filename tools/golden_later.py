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


TEXT = {"vocab_size": 83, "hidden_size": 24, "intermediate_size": 34, "num_hidden_layers": 3, "pad_token_id": 0}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
EYE = {"hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8}
QWEN_EYE = {"depth": 1, "embed_dim": 8, "hidden_size": 24, "num_heads": 2, "patch_size": 4}
ROTATION_IN_THREE = {"rope_type": "default", "rope_theta": 90.0, "mrope_section": [1, 1, 1]}


def with_pictures(
    name: str, config: Any, model: Any, text: dict[str, Any], eye: dict[str, Any], body: str = "language_model"
) -> Family:
    """The text part of a model that sees pictures as well, which has a small eye here."""
    text = {**TEXT, **HEADS, **text}
    return Family(
        name,
        eager(config, text_config=text, vision_config=eye, image_token_id=82),
        model,
        layers=lambda model: getattr(model.model, body).layers,
        tokens=23,
        vocabulary=79,
    )


PICTURES = [
    with_pictures(
        "gemma3-vision",
        t.Gemma3Config,
        t.Gemma3ForConditionalGeneration,
        {
            "head_dim": 10,
            "num_hidden_layers": 7,
            "sliding_window": 6,
            "query_pre_attn_scalar": 13,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
            },
        },
        {**EYE, "patch_size": 4, "model_type": "siglip_vision_model"},
    ),
    with_pictures(
        "llava",
        t.LlavaConfig,
        t.LlavaForConditionalGeneration,
        {"model_type": "qwen2", "rope_parameters": PART},
        {**EYE, "patch_size": 4, "model_type": "clip_vision_model"},
    ),
    with_pictures(
        "smolvlm",
        t.SmolVLMConfig,
        t.SmolVLMForConditionalGeneration,
        {"model_type": "llama", "rope_parameters": PART},
        {**EYE, "patch_size": 4},
        body="text_model",
    ),
    with_pictures(
        "qwen2_vl",
        t.Qwen2VLConfig,
        t.Qwen2VLForConditionalGeneration,
        {"rope_parameters": ROTATION_IN_THREE},
        {**QWEN_EYE, "mlp_ratio": 2},
    ),
    with_pictures(
        "qwen2_5_vl",
        t.Qwen2_5_VLConfig,
        t.Qwen2_5_VLForConditionalGeneration,
        {"rope_parameters": ROTATION_IN_THREE, "tie_word_embeddings": True},
        {"depth": 1, "hidden_size": 8, "intermediate_size": 10, "num_heads": 2, "patch_size": 4, "out_hidden_size": 24},
    ),
    with_pictures(
        "qwen3_vl",
        t.Qwen3VLConfig,
        t.Qwen3VLForConditionalGeneration,
        {
            "head_dim": 10,
            "rope_parameters": {**ROTATION_IN_THREE, "mrope_section": [2, 2, 1], "mrope_interleaved": True},
        },
        {
            "depth": 1,
            "hidden_size": 8,
            "intermediate_size": 10,
            "num_heads": 2,
            "patch_size": 4,
            "out_hidden_size": 24,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
    ),
]

OLDER = [
    Family(
        "gpt_neo",
        eager(
            t.GPTNeoConfig,
            vocab_size=83,
            hidden_size=24,
            num_layers=3,
            num_heads=4,
            intermediate_size=34,
            window_size=6,
            attention_types=[[["global", "local"], 1], [["local"], 1]],
            max_position_embeddings=64,
        ),
        t.GPTNeoForCausalLM,
        layers=lambda model: model.transformer.h,
        tokens=23,
        vocabulary=83,
    ),
    *(
        Family(
            name,
            eager(
                t.OPTConfig,
                vocab_size=83,
                hidden_size=24,
                num_hidden_layers=3,
                num_attention_heads=4,
                ffn_dim=34,
                max_position_embeddings=64,
                **settings,
            ),
            t.OPTForCausalLM,
            layers=lambda model: model.model.decoder.layers,
            tokens=23,
            vocabulary=83,
        )
        for name, settings in (("opt", {}), ("opt-after", {"do_layer_norm_before": False, "enable_bias": False}))
    ),
    *(
        Family(
            name,
            eager(t.BloomConfig, vocab_size=83, hidden_size=24, n_layer=3, n_head=3, **more),
            t.BloomForCausalLM,
            kind,
            layers=lambda model: model.transformer.h,
            tokens=23,
            vocabulary=83,
        )
        for name, kind, more in (("bloom", "decoder", {}), ("bloom-both-ways", "both-ways", {"is_causal": False}))
    ),
]

FAMILIES = [
    *PICTURES,
    *OLDER,
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
