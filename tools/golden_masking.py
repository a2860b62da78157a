"""Which tiny models stand for decoders that fill masks: in the reference a Qwen 2 and a Llama that see both ways."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager

SIZES = {"hidden_size": 20, "intermediate_size": 26, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 47}
MORE = {"max_position_embeddings": 64, "is_causal": False, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
THETA = {"rope_type": "default", "rope_theta": 400.0}
MASK = 46
HERE = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
    "self_attn.o_proj": "attn_out",
    "mlp.down_proj": "ff_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.": "",
    "self_attn.": "",
    "model.layers": "model.transformer.blocks",
    "model.embed_tokens": "model.transformer.wte",
    "model.norm": "model.transformer.ln_f",
    "lm_head": "model.transformer.ff_out",
}


def dream(config: dict[str, Any]) -> dict[str, Any]:
    """As the published files have it."""
    left = {"architectures", "is_causal", "layer_types", "rope_parameters"}
    kept = {key: value for key, value in config.items() if key not in left}
    return kept | {
        "model_type": "Dream",
        "architectures": ["DreamModel"],
        "mask_token_id": MASK,
        "rope_scaling": None,
        "rope_theta": 400.0,
        "use_mrope": False,
    }


def llada(config: dict[str, Any]) -> dict[str, Any]:
    """As the published files have it."""
    return {
        "model_type": "llada",
        "architectures": ["LLaDAModelLM"],
        "dtype": config["dtype"],
        "activation_type": "silu",
        "alibi": False,
        "alibi_bias_max": 8.0,
        "attention_dropout": 0.0,
        "attention_layer_norm": False,
        "attention_layer_norm_with_affine": True,
        "bias_for_layer_norm": False,
        "block_group_size": 1,
        "block_type": "llama",
        "d_model": config["hidden_size"],
        "embedding_dropout": 0.0,
        "embedding_size": config["vocab_size"],
        "eos_token_id": 2,
        "flash_attention": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "init_cutoff_factor": None,
        "init_device": "meta",
        "init_fn": "mitchell",
        "init_std": 0.02,
        "input_emb_norm": False,
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "mask_token_id": MASK,
        "max_sequence_length": config["max_position_embeddings"],
        "mlp_hidden_size": config["intermediate_size"],
        "mlp_ratio": 4,
        "multi_query_attention": None,
        "n_heads": config["num_attention_heads"],
        "n_kv_heads": config["num_key_value_heads"],
        "n_layers": config["num_hidden_layers"],
        "pad_token_id": 2,
        "precision": "amp_bf16",
        "residual_dropout": 0.0,
        "rms_norm_eps": config["rms_norm_eps"],
        "rope": True,
        "rope_full_precision": True,
        "rope_theta": 400.0,
        "scale_logits": False,
        "transformers_version": config["transformers_version"],
        "use_cache": False,
        "vocab_size": config["vocab_size"],
        "weight_tying": False,
    }


def in_llada(name: str) -> str:
    for ours, theirs in HERE.items():
        name = name.replace(ours, theirs)
    return name


FAMILIES = [
    Family(
        "dream",
        eager(t.Qwen2Config, **SIZES, **MORE, num_key_value_heads=1, rope_parameters=THETA),
        t.Qwen2ForCausalLM,
        "both-ways",
        tokens=13,
        vocabulary=47,
        published=dream,
    ),
    Family(
        "llada",
        eager(t.LlamaConfig, **SIZES, **MORE, num_key_value_heads=2, rope_parameters=THETA, rms_norm_eps=1e-5),
        t.LlamaForCausalLM,
        "both-ways",
        tokens=13,
        vocabulary=47,
        published=llada,
        renamed=in_llada,
    ),
]
