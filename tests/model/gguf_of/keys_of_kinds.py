"""What the converter's classes of these kinds add to the keys that all have: a table each, by `values.py`."""

from __future__ import annotations

import gguf

from llminspect.files.folder import open_safetensors
from tests.model.gguf_of.values import Config, Table, keys_where, perhaps, slides, width
from tests.model.golden import Golden

SIGMOID, SOFTMAX = gguf.ExpertGatingFuncType.SIGMOID, gguf.ExpertGatingFuncType.SOFTMAX
NO_SCALING = gguf.RopeScalingType.NONE

WIDTH: Table = {"rope_dimension_count": width}
WINDOWS: Table = {
    "sliding_window": "sliding_window",
    "sliding_window_pattern": lambda config: None if config["sliding_window"] is None else slides(config),
}
PARALLEL: Table = WIDTH | {"parallel_residual": "use_parallel_residual"}
COHERE: Table = {"logit_scale": "logit_scale", "rope_scaling_type": NO_SCALING}
MASKING: Table = {"causal_attention": False, "mask_token_id": "mask_token_id"}
SECTIONS: Table = {"rope_dimension_sections": lambda config: [*config["rope_parameters"]["mrope_section"], 0]}
DEEP_SECTIONS: Table = SECTIONS | {"num_deepstack_layers": 1}
GRANITE: Table = WIDTH | {
    "vocab_size": "vocab_size",
    "attention_scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}
GRANITE_MIXTURE: Table = GRANITE | {
    "expert_shared_feed_forward_length": lambda config: config["shared_intermediate_size"] or None
}
GROUPED: Table = {
    "expert_count": "n_routed_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "expert_shared_count": "n_shared_experts",
    "expert_weights_scale": "routed_scaling_factor",
    "expert_weights_norm": "norm_topk_prob",
    "expert_gating_func": SIGMOID,
}
LFM2: Table = {
    "head_count_kv": keys_where("full_attention", "layer_types"),
    "vocab_size": "vocab_size",
    "shortconv_l_cache": "conv_L_cache",
}


def lfm2_units(config: Config) -> int:
    multiple: int = config["block_multiple_of"]
    return -(-int(2 * config["intermediate_size"] / 3) // multiple) * multiple


DELTA: Table = WIDTH | {
    "ssm_conv_kernel": "linear_conv_kernel_dim",
    "ssm_state_size": "linear_key_head_dim",
    "ssm_group_count": "linear_num_key_heads",
    "ssm_time_step_rank": "linear_num_value_heads",
    "ssm_inner_size": lambda config: config["linear_value_head_dim"] * config["linear_num_value_heads"],
    "full_attention_interval": lambda config: config["layer_types"].index("full_attention") + 1,
}
DELTA_SECTIONS: Table = DELTA | {"rope_dimension_sections": [11, 11, 10, 0]}
MAMBA2: Table = {
    "ssm_conv_kernel": "mamba_d_conv",
    "ssm_state_size": "mamba_d_state",
    "ssm_group_count": "mamba_n_groups",
    "ssm_time_step_rank": "mamba_n_heads",
}
LATENT: Table = {
    "vocab_size": "vocab_size",
    "q_lora_rank": "q_lora_rank",
    "kv_lora_rank": "kv_lora_rank",
    "rope_dimension_count": "qk_rope_head_dim",
}


def latent_width(config: Config) -> int:
    found: int = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    return found


def yarn_slope(config: Config) -> float | None:
    slope = config["rope_parameters"].get("mscale_all_dim")
    return None if slope is None else 0.1 * slope


LATENT_MIXTURE: Table = LATENT | {
    "key_length": lambda config: config["kv_lora_rank"] + config["qk_rope_head_dim"],
    "value_length": "kv_lora_rank",
    "key_length_mla": latent_width,
    "value_length_mla": "v_head_dim",
    "leading_dense_block_count": lambda config: config.get("first_k_dense_replace", 1),
    "expert_count": "n_routed_experts",
    "expert_shared_count": "n_shared_experts",
    "expert_weights_scale": "routed_scaling_factor",
    "expert_group_count": "n_group",
    "expert_group_used_count": "topk_group",
    "expert_gating_func": lambda config: SOFTMAX if config["model_type"] == "deepseek_v2" else SIGMOID,
    "expert_weights_norm": lambda config: config["norm_topk_prob"] or None,
    "rope_scaling_yarn_log_mul": yarn_slope,
}


def xielu(stored: str) -> object:
    """One number of each layer's curve, which stands among the weights."""

    def value(config: Config) -> list[float]:
        file = open_safetensors(Golden("apertus").folder)
        names = [f"model.layers.{index}.mlp.act_fn.{stored}" for index in range(config["num_hidden_layers"])]
        return [float(file.array(name).reshape(())) for name in names]

    return value


def jamba_keys(config: Config) -> list[int]:
    first, period = config["attn_layer_offset"], config["attn_layer_period"]
    return [config["num_key_value_heads"] * (at % period == first) for at in range(config["num_hidden_layers"])]


def nemotron_units(config: Config) -> list[int]:
    widths = {"moe": "moe_intermediate_size", "mlp": "intermediate_size"}
    return [config[widths[kind]] if kind in widths else 0 for kind in config["layers_block_type"]]


MORE_KEYS: dict[str, Table] = {
    "Dream": MASKING,
    "llada": MASKING | WIDTH | {"vocab_size": "vocab_size", "diffusion_shift_logits": False},
    "apertus": WIDTH | {f"xielu_{stored}": xielu(stored) for stored in ("alpha_p", "alpha_n", "beta", "eps")},
    "deepseek": WIDTH
    | {
        "rope_scaling_type": NO_SCALING,
        "leading_dense_block_count": "first_k_dense_replace",
        "expert_weights_scale": 1.0,
        "expert_count": "n_routed_experts",
        "expert_shared_count": "n_shared_experts",
    },
    "ministral3": WIDTH
    | {
        "rope_scaling_yarn_log_mul": lambda config: config["rope_parameters"]["mscale_all_dim"],
        "attn_temperature_scale": lambda config: config["rope_parameters"]["llama_4_scaling_beta"],
    },
    "phi": WIDTH,
    "qwen2_vl": SECTIONS,
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe"), DEEP_SECTIONS),
    "mpt": {
        "clamp_kqv": lambda config: config["attn_config"]["clip_qkv"],
        "max_alibi_bias": lambda config: config["attn_config"]["alibi_bias_max"],
    },
    "modernbert": {
        "vocab_size": "vocab_size",
        "sliding_window": "local_attention",
        "rope_scaling_type": NO_SCALING,
    },
    "falcon": {"tensor_data_layout": lambda config: "jploski"},
    "olmo": {"layer_norm_eps": 1e-5, "clamp_kqv": "clip_qkv"},
    **dict.fromkeys(("olmo3", "exaone4"), WINDOWS),
    "granite": GRANITE,
    "granitemoeshared": GRANITE_MIXTURE,
    "ernie4_5_moe": {
        "interleave_moe_layer_step": "moe_layer_interval",
        "leading_dense_block_count": "moe_layer_start_index",
        "expert_shared_count": "moe_num_shared_experts",
        "expert_shared_feed_forward_length": lambda config: (
            config["intermediate_size"] // config["num_key_value_heads"]
        ),
    },
    "hunyuan_v1_moe": {
        "expert_shared_feed_forward_length": "intermediate_size",
        "expert_feed_forward_length": "intermediate_size",
        "expert_shared_count": 1,
    },
    "minimax_m2": WIDTH | {"expert_gating_func": SIGMOID, "expert_feed_forward_length": "intermediate_size"},
    "dots1": GROUPED,
    "glm4_moe": GROUPED | WIDTH,
    "afmoe": {
        "expert_shared_count": "num_shared_experts",
        "leading_dense_block_count": "num_dense_layers",
        "expert_weights_norm": True,
        "expert_weights_scale": "route_scale",
        "expert_gating_func": SIGMOID,
        "sliding_window": "sliding_window",
    },
    "exaone_moe": WINDOWS
    | {
        "expert_shared_count": "num_shared_experts",
        "expert_shared_feed_forward_length": lambda config: (
            config["moe_intermediate_size"] * config["num_shared_experts"]
        ),
        "leading_dense_block_count": "first_k_dense_replace",
        "expert_weights_norm": "norm_topk_prob",
        "expert_weights_scale": "routed_scaling_factor",
        "expert_gating_func": SIGMOID,
    },
    "cohere": COHERE,
    "cohere2": COHERE | WIDTH | {"sliding_window": "sliding_window"},
    "nomic_bert": {
        "moe_every_n_layers": perhaps("moe_every_n_layers"),
        "expert_used_count": perhaps("moe_top_k"),
    },
    "hunyuan_v1_dense": {
        "rope_scaling_type": NO_SCALING,
        "rope_scaling_factor": 1,
        "rope_scaling_orig_ctx_len": 256 * 1024,
    },
    **dict.fromkeys(("gpt_neox", "stablelm"), PARALLEL),
    "gpt_oss": {"sliding_window": "sliding_window", "expert_feed_forward_length": "intermediate_size"},
    "lfm2": LFM2 | {"feed_forward_length": lfm2_units},
    "lfm2_moe": LFM2 | {"leading_dense_block_count": "num_dense_layers", "expert_gating_func": SIGMOID},
    "qwen3_next": DELTA,
    **dict.fromkeys(("qwen3_5_text", "qwen3_5_moe_text"), DELTA_SECTIONS),
    "granitemoehybrid": GRANITE_MIXTURE
    | MAMBA2
    | {
        "ssm_inner_size": lambda config: config["mamba_expand"] * config["hidden_size"],
        "head_count_kv": keys_where("full_attention", "layer_types"),
        "rope_scaling_finetuned": lambda config: config["position_embedding_type"] == "rope",
    },
    "jamba": {
        "head_count_kv": jamba_keys,
        "ssm_conv_kernel": "mamba_d_conv",
        "ssm_inner_size": lambda config: config["mamba_expand"] * config["hidden_size"],
        "ssm_state_size": "mamba_d_state",
        "ssm_time_step_rank": "mamba_dt_rank",
    },
    "falcon_h1": MAMBA2 | {"ssm_inner_size": "mamba_d_ssm"},
    "nemotron_h": {
        "layer_norm_rms_eps": "layer_norm_epsilon",
        "head_count_kv": keys_where("full_attention", "layers_block_type"),
        "feed_forward_length": nemotron_units,
        "ssm_conv_kernel": "conv_kernel",
        "ssm_state_size": "ssm_state_size",
        "ssm_group_count": "n_groups",
        "ssm_inner_size": lambda config: config["mamba_num_heads"] * config["mamba_head_dim"],
        "ssm_time_step_rank": "mamba_num_heads",
        "rope_scaling_finetuned": False,
        "expert_count": "n_routed_experts",
        "expert_shared_feed_forward_length": "moe_shared_expert_intermediate_size",
        "expert_shared_count": "n_shared_experts",
        "expert_weights_norm": "norm_topk_prob",
        "expert_weights_scale": "routed_scaling_factor",
        "expert_group_count": "n_group",
        "moe_latent_size": lambda config: config["moe_latent_size"] or None,
    },
    "minicpm3": LATENT | {"key_length": latent_width},
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "glm4_moe_lite"), LATENT_MIXTURE),
    **dict.fromkeys(("arcee", "jais2", "smollm3", "nemotron", "glm", "glm4", "starcoder2"), WIDTH),
}
