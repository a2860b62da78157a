"""The keys of kinds that share none of the converter's common ones."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

from tests.model.gguf_of.values import Config, Table, perhaps, slides


def whole(key: str) -> Any:
    """Of Gemma 4's layers without a window."""
    return lambda config: next(iter(config["per_layer_config"].values()))[key]


def gemma4_units(config: Config) -> int | list[int]:
    units, layers, shared = (config[key] for key in ("intermediate_size", "num_hidden_layers", "num_kv_shared_layers"))
    if not config["use_double_wide_mlp"]:
        return int(units)
    return [units * (1 + (at >= layers - shared)) for at in range(layers)]


def gemma4_keys(config: Config) -> int | list[int]:
    local: int = config["num_key_value_heads"]
    others = next(iter(config["per_layer_config"].values())).get("num_key_value_heads")
    return local if others is None else [local if slide else others for slide in slides(config)]


def of_experts(key: str) -> Any:
    return lambda config: config[key] if config["enable_moe_block"] else None


T5: Table = {
    "context_length": 512,
    "embedding_length": "d_model",
    "feed_forward_length": "d_ff",
    "block_count": "num_layers",
    "head_count": "num_heads",
    "key_length": "d_kv",
    "value_length": "d_kv",
    "layer_norm_eps": "layer_norm_epsilon",
    "layer_norm_rms_eps": "layer_norm_epsilon",
    "relative_attn_buckets_count": "relative_attention_num_buckets",
    # Not of an encoder alone.
    "decoder_block_count": lambda config: config["num_decoder_layers"] if "decoder_start_token_id" in config else None,
    "decoder_start_token_id": perhaps("decoder_start_token_id"),
}
RWKV7: Table = {
    "context_length": 1 << 20,
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "layer_norm_eps": "norm_eps",
    "wkv_head_size": "head_dim",
    "decay_lora_rank": "decay_low_rank_dim",
    "iclr_lora_rank": "a_low_rank_dim",
    "value_residual_mix_lora_rank": "v_low_rank_dim",
    "gate_lora_rank": "gate_low_rank_dim",
    "feed_forward_length": "intermediate_size",
    "head_count": 0,
}
MAMBA: Table = {
    "context_length": 1 << 20,
    "embedding_length": "hidden_size",
    "feed_forward_length": 0,
    "head_count": 0,
    "block_count": "num_hidden_layers",
    "layer_norm_rms_eps": "layer_norm_epsilon",
    "ssm_conv_kernel": "conv_kernel",
    "ssm_inner_size": lambda config: config["expand"] * config["hidden_size"],
    "ssm_state_size": "state_size",
}
MAMBA1: Table = MAMBA | {
    "ssm_time_step_rank": "time_step_rank",
    "ssm_dt_b_c_rms": lambda config: config["model_type"] == "falcon_mamba",
}
GEMMA: Table = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "head_count": "num_attention_heads",
    "layer_norm_rms_eps": "rms_norm_eps",
    "sliding_window": "sliding_window",
    "sliding_window_pattern": slides,
    "shared_kv_layers": "num_kv_shared_layers",
    "embedding_length_per_layer_input": "hidden_size_per_layer_input",
}
GEMMA3N: Table = GEMMA | {
    "feed_forward_length": "intermediate_size",
    "head_count_kv": "num_key_value_heads",
    "key_length": "head_dim",
    "value_length": "head_dim",
    "altup_num_inputs": "altup_num_inputs",
    "altup_active_idx": "altup_active_idx",
    "activation_sparsity_scale": lambda config: [
        NormalDist().inv_cdf(share) if share else -math.inf for share in config["activation_sparsity_pattern"]
    ],
    "final_logit_softcapping": "final_logit_softcapping",
}
GEMMA4: Table = GEMMA | {
    "feed_forward_length": gemma4_units,
    "head_count_kv": gemma4_keys,
    **dict.fromkeys(("key_length", "value_length", "rope_dimension_count"), whole("head_dim")),
    **dict.fromkeys(("key_length_swa", "value_length_swa", "rope_dimension_count_swa"), "head_dim"),
    "expert_count": of_experts("num_experts"),
    "expert_used_count": of_experts("top_k_experts"),
    "expert_feed_forward_length": of_experts("moe_intermediate_size"),
    "final_logit_softcapping": lambda config: config["final_logit_softcapping"] or None,
}
WHOLE_KEYS: dict[str, Table] = {
    **dict.fromkeys(("t5", "umt5"), T5),
    "rwkv7": RWKV7,
    **dict.fromkeys(("mamba", "falcon_mamba"), MAMBA1),
    "mamba2": MAMBA | {"ssm_time_step_rank": "num_heads", "ssm_group_count": "n_groups"},
    "gemma3n_text": GEMMA3N,
    "gemma4_text": GEMMA4,
}
