"""A GGUF file of a golden model, made as llama.cpp's converter makes it: names, keys, changes to the weights.

The names of tensors come from the `gguf` package, not from our tables.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from llminspect.files.folder import open_safetensors
from tests.model.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from llminspect.core.array import Array

    Tensors = dict[str, Array]

KINDS = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "apertus": gguf.MODEL_ARCH.APERTUS,
    "jais2": gguf.MODEL_ARCH.JAIS2,
    "deepseek": gguf.MODEL_ARCH.DEEPSEEK,
    "glm": gguf.MODEL_ARCH.CHATGLM,
    "ministral3": gguf.MODEL_ARCH.MISTRAL3,
    "phimoe": gguf.MODEL_ARCH.PHIMOE,
    "qwen2_vl": gguf.MODEL_ARCH.QWEN2VL,
    "qwen3_vl": gguf.MODEL_ARCH.QWEN3VL,
    "qwen3_vl_moe": gguf.MODEL_ARCH.QWEN3VLMOE,
    "llama-linear": gguf.MODEL_ARCH.LLAMA,
    "llama-llama3": gguf.MODEL_ARCH.LLAMA,
    "llama-yarn": gguf.MODEL_ARCH.LLAMA,
    "llama-biased": gguf.MODEL_ARCH.LLAMA,
    "mixtral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "qwen2-moe": gguf.MODEL_ARCH.QWEN2MOE,
    "qwen3-moe": gguf.MODEL_ARCH.QWEN3MOE,
    "gemma": gguf.MODEL_ARCH.GEMMA,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "gemma3": gguf.MODEL_ARCH.GEMMA3,
    "gemma3-both-ways": gguf.MODEL_ARCH.GEMMA_EMBEDDING,
    "gemma3n": gguf.MODEL_ARCH.GEMMA3N,
    "gemma4": gguf.MODEL_ARCH.GEMMA4,
    "gemma4-same-keys": gguf.MODEL_ARCH.GEMMA4,
    "gemma4-experts": gguf.MODEL_ARCH.GEMMA4,
    "phi3": gguf.MODEL_ARCH.PHI3,
    "phi3-longrope": gguf.MODEL_ARCH.PHI3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
    "gpt_bigcode": gguf.MODEL_ARCH.STARCODER,
    "bert-encoder": gguf.MODEL_ARCH.BERT,
    "modernbert": gguf.MODEL_ARCH.MODERN_BERT,
    "nomic-bert": gguf.MODEL_ARCH.NOMIC_BERT,
    "jina-bert": gguf.MODEL_ARCH.JINA_BERT_V2,
    "jina-bert-code": gguf.MODEL_ARCH.JINA_BERT_V2,
    "jina-v3": gguf.MODEL_ARCH.JINA_BERT_V3,
    "eurobert": gguf.MODEL_ARCH.EUROBERT,
    "bloom": gguf.MODEL_ARCH.BLOOM,
    "mpt": gguf.MODEL_ARCH.MPT,
    "falcon": gguf.MODEL_ARCH.FALCON,
    "falcon-grouped": gguf.MODEL_ARCH.FALCON,
    "olmo": gguf.MODEL_ARCH.OLMO,
    "olmo2": gguf.MODEL_ARCH.OLMO2,
    "olmo3": gguf.MODEL_ARCH.OLMO2,
    "smollm3": gguf.MODEL_ARCH.SMOLLM3,
    "gpt-neox": gguf.MODEL_ARCH.GPTNEOX,
    "gpt-neox-sequential": gguf.MODEL_ARCH.GPTNEOX,
    "gpt-oss": gguf.MODEL_ARCH.GPT_OSS,
    "granite": gguf.MODEL_ARCH.GRANITE,
    "granitemoe": gguf.MODEL_ARCH.GRANITE_MOE,
    "ernie4_5_moe": gguf.MODEL_ARCH.ERNIE4_5_MOE,
    "hunyuan_v1_moe": gguf.MODEL_ARCH.HUNYUAN_MOE,
    "minimax_m2": gguf.MODEL_ARCH.MINIMAXM2,
    "olmoe": gguf.MODEL_ARCH.OLMOE,
    "dots1": gguf.MODEL_ARCH.DOTS1,
    "glm4_moe": gguf.MODEL_ARCH.GLM4_MOE,
    "cohere": gguf.MODEL_ARCH.COMMAND_R,
    "cohere2": gguf.MODEL_ARCH.COHERE2,
    "exaone4": gguf.MODEL_ARCH.EXAONE4,
    "exaone_moe": gguf.MODEL_ARCH.EXAONE_MOE,
    "afmoe": gguf.MODEL_ARCH.AFMOE,
    "exaone4-whole": gguf.MODEL_ARCH.EXAONE4,
    "seed-oss": gguf.MODEL_ARCH.SEED_OSS,
    "ernie4_5": gguf.MODEL_ARCH.ERNIE4_5,
    "hunyuan": gguf.MODEL_ARCH.HUNYUAN_DENSE,
    "arcee": gguf.MODEL_ARCH.ARCEE,
    "nemotron": gguf.MODEL_ARCH.NEMOTRON,
    "stablelm": gguf.MODEL_ARCH.STABLELM,
    "stablelm-parallel": gguf.MODEL_ARCH.STABLELM,
    "starcoder2": gguf.MODEL_ARCH.STARCODER2,
    "glm4": gguf.MODEL_ARCH.GLM4,
    "dream": gguf.MODEL_ARCH.DREAM,
    "llada": gguf.MODEL_ARCH.LLADA,
    "lfm2": gguf.MODEL_ARCH.LFM2,
    "minicpm3": gguf.MODEL_ARCH.MINICPM3,
    **dict.fromkeys(("deepseek-v2", "deepseek-v3", "glm4-moe-lite"), gguf.MODEL_ARCH.DEEPSEEK2),
    "lfm2_moe": gguf.MODEL_ARCH.LFM2MOE,
    "qwen3_next": gguf.MODEL_ARCH.QWEN3NEXT,
    "qwen3_5": gguf.MODEL_ARCH.QWEN35,
    "qwen3_5_moe": gguf.MODEL_ARCH.QWEN35MOE,
    **dict.fromkeys(("granitemoehybrid", "granitemoehybrid-experts"), gguf.MODEL_ARCH.GRANITE_HYBRID),
    "rwkv7": gguf.MODEL_ARCH.RWKV7,
    "jamba": gguf.MODEL_ARCH.JAMBA,
    "falcon_h1": gguf.MODEL_ARCH.FALCON_H1,
    "nemotron_h": gguf.MODEL_ARCH.NEMOTRON_H_MOE,
    **dict.fromkeys(("mamba", "falcon_mamba"), gguf.MODEL_ARCH.MAMBA),
    "mamba2": gguf.MODEL_ARCH.MAMBA2,
    "t5": gguf.MODEL_ARCH.T5,
    "t5-gated": gguf.MODEL_ARCH.T5,
    "umt5": gguf.MODEL_ARCH.T5,
    "t5-encoder": gguf.MODEL_ARCH.T5ENCODER,
}
"""Golden models that llama.cpp has a kind for …"""
WITH_HEADS = {
    "nomic-mixture": gguf.MODEL_ARCH.NOMIC_BERT_MOE,
    "bert-sequence": gguf.MODEL_ARCH.BERT,
    "roberta-sequence": gguf.MODEL_ARCH.BERT,
    "modernbert-sequence": gguf.MODEL_ARCH.MODERN_BERT,
}
"""… and those of which its converter keeps a part: of a head, or all but the bias of a mixture."""

UNSAID: dict[str, Callable[[Any], Any]] = {
    "qwen2": lambda config: replace(config, window=6, windowed=(2, 3)),
    "mixtral": lambda config: replace(config, window=9, windowed=(0, 1, 2)),
    "qwen2-moe": lambda config: replace(config, experts=replace(config.experts, plain_layers=(1,))),
    "qwen3_vl_moe": lambda config: replace(config, experts=replace(config.experts, plain_layers=(0,))),
    "ministral3": lambda config: replace(config, window=9, windowed=(0, 1)),
    "phimoe": lambda config: replace(config, experts=replace(config.experts, near=0.6)),
    "qwen3-moe": lambda config: replace(config, experts=replace(config.experts, plain_layers=(1,))),
    "dots1": lambda config: replace(config, window=6, windowed=(1, 2)),
    "gemma2": lambda config: replace(config, scale=7**-0.5),
    "gemma3": lambda config: replace(config, scale=13**-0.5),
    "gemma3-both-ways": lambda config: replace(config, scale=13**-0.5, windowed=(0, 2)),
    "olmo3": lambda config: replace(
        config, rotary=replace(config.rotary, scaling=replace(config.rotary.scaling, gain=1.2))
    ),
    "smollm3": lambda config: replace(config, unturned=(1, 3)),
    "gpt-oss": lambda config: replace(config, unit=replace(config.unit, limit=1.5)),
    "starcoder2": lambda config: replace(config, window=8, windowed=(0, 1, 2)),
    "mpt": lambda config: replace(config, scale=0.3),
    "afmoe": lambda config: replace(config, windowed=(1,), unturned=(0,)),
    "lfm2_moe": lambda config: replace(config, experts=replace(config.experts, factor=1.3)),
    "falcon_mamba": lambda config: replace(config, state=replace(config.state, norm_epsilon=0.02)),
    "nemotron_h": lambda config: replace(config, state=replace(config.state, limits=(0.4, float("inf")))),
    "mamba2": lambda config: replace(config, state=replace(config.state, limits=(0.2, 1.5))),
    **dict.fromkeys(("t5", "t5-gated", "umt5"), lambda config: replace(config, farthest=20)),
    "t5-encoder": lambda config: replace(config, farthest=10),
}
"""What a GGUF file cannot say and these golden models have other than every published model of their kind."""


def write(golden: Golden, path: Path, more: Callable[[Any], None] = lambda writer: None) -> None:
    """`more` adds keys of its own."""
    config, kind = golden.config(), (KINDS | WITH_HEADS)[golden.name]
    file = open_safetensors(golden.folder)
    arrays = {name: file.array(name) for name in file.tensors}
    if "text_config" in config:
        config = {**config["text_config"], "model_type": config["model_type"]}
        arrays = {name.replace("language_model.", ""): arrays[name] for name in arrays if "visual." not in name}
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[kind])
    write_keys(writer, config)
    more(writer)
    writer.add_token_list([f"<{index}>" for index in range(config["vocab_size"])])
    # llama.cpp has no Qwen 3 mixture with layers without experts, as the golden one has.
    plain = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 8)
    names = gguf.get_tensor_name_map(kind, config.get("num_hidden_layers") or config.get("n_layer") or 8)
    for name, array in changed(config, arrays):
        own_name = next(
            found
            for table in (names, plain)
            if (found := name if name.startswith("blk.") else table.get_name(name, try_suffixes=(".weight", ".bias")))
        )
        writer.add_tensor(own_name, np.ascontiguousarray(array, dtype=np.float32))
    for own_name, array in extra(config):
        writer.add_tensor(own_name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


RMS_EPSILON = ("lfm2", "lfm2_moe")
"""Whose key for the ε of their RMS norms others have for layer norms."""


def write_keys(writer: Any, config: dict[str, Any]) -> None:
    """What the converter's `set_gguf_parameters` write for each kind of model."""
    if config["model_type"] in ("t5", "umt5", "gemma3n_text", "gemma4_text"):
        {"gemma3n_text": write_gemma3n_keys, "gemma4_text": write_gemma4_keys}.get(config["model_type"], write_t5_keys)(
            writer, config
        )
        return

    if config["model_type"] == "rwkv7":
        write_rwkv_keys(writer, config)
        return

    if config["model_type"] in ("mamba", "mamba2", "falcon_mamba"):
        write_mamba_keys(writer, config)
        return

    if config["model_type"] == "bloom":
        width = config["hidden_size"]
        config = {**config, "max_position_embeddings": width, "intermediate_size": 4 * width}

    if config["model_type"] == "mpt":
        own = {
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "max_position_embeddings": "max_seq_len",
        }
        config = {**config, **{key: config[name] for key, name in own.items()}, "hidden_size": config["d_model"]}
        config["intermediate_size"] = 4 * config["d_model"]

    if "n_positions" in config and "n_layer" in config and config["model_type"] == "nomic_bert":
        config = {**config, "max_position_embeddings": config["n_positions"], "rope_theta": config["rotary_emb_base"]}

    if config["model_type"] == "llada":
        config = {**config, **{key: config[name] for key, name in LLADA_KEYS.items()}}

    if "kv_lora_rank" in config:
        heads = 1 if "n_routed_experts" in config else config["num_key_value_heads"]
        config = {**config, "head_dim": None, "num_key_value_heads": heads}

    if config["model_type"] == "falcon":
        keys = config["num_kv_heads"] if config["new_decoder_architecture"] else 1
        config = {**config, "num_key_value_heads": keys, "intermediate_size": config["ffn_hidden_size"]}

    def found(*keys: str) -> Any:
        return next((config[key] for key in keys if config.get(key) is not None), None)

    writer.add_block_count(found("num_hidden_layers", "n_layer") or len(config["layers_block_type"]))
    after_padding = 1 + config["pad_token_id"] if config["model_type"] == "roberta" else 0
    writer.add_context_length(found("max_position_embeddings", "n_positions") - after_padding)
    writer.add_embedding_length(found("hidden_size", "n_embd"))
    writer.add_feed_forward_length(found("intermediate_size", "n_inner"))
    writer.add_head_count(found("num_attention_heads", "n_head"))
    of_rms, others = (("norm_eps",), ()) if config["model_type"] in RMS_EPSILON else ((), ("norm_eps",))
    optional: list[tuple[Any, Callable[[Any], None]]] = [
        (found("num_key_value_heads"), writer.add_head_count_kv),
        (found("rms_norm_eps", *of_rms), writer.add_layer_norm_rms_eps),
        (found("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", *others), writer.add_layer_norm_eps),
        (found("head_dim"), writer.add_key_length),
        (found("head_dim"), writer.add_value_length),
        (found("num_local_experts", "num_experts", "moe_num_experts"), writer.add_expert_count),
        (found("num_experts_per_tok", "moe_topk", "moe_k"), writer.add_expert_used_count),
        (found("attn_logit_softcapping"), writer.add_attn_logit_softcapping),
        (found("final_logit_softcapping"), writer.add_final_logit_softcapping),
        (found("moe_intermediate_size"), writer.add_expert_feed_forward_length),
        (found("shared_expert_intermediate_size"), writer.add_expert_shared_feed_forward_length),
    ]
    for value, add in optional:
        if value is not None:
            add(value)
    if config["model_type"] in ("gemma2", "gemma3_text", "phi3", "phimoe"):
        writer.add_sliding_window(config.get("sliding_window") or 0)
    if config.get("use_bidirectional_attention"):
        writer.add_causal_attention(False)
    if config["model_type"] in ENCODERS:
        writer.add_causal_attention(False)
        if "type_vocab_size" in config:
            writer.add_token_type_count(config["type_vocab_size"])
        if "id2label" in config:
            writer.add_classifier_output_labels([label for _, label in sorted(config["id2label"].items())])
    if config["model_type"] in ("llama", "mixtral"):
        writer.add_vocab_size(config["vocab_size"])
        writer.add_rope_dimension_count(config["head_dim"])
    if config["model_type"] != "gemma":
        write_rotation(writer, config)
    if config["model_type"] in MORE_KEYS:
        MORE_KEYS[config["model_type"]](writer, config)


LLADA_KEYS = {
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "hidden_size": "d_model",
    "intermediate_size": "mlp_hidden_size",
    "max_position_embeddings": "max_sequence_length",
}


def write_masking_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_causal_attention(False)
    writer.add_mask_token_id(config["mask_token_id"])
    if config["model_type"] == "llada":
        write_width(writer, config)
        writer.add_vocab_size(config["vocab_size"])
        writer.add_diffusion_shift_logits(False)


def write_windows(writer: Any, config: dict[str, Any]) -> None:
    if config["sliding_window"] is not None:
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])


def write_afmoe_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_expert_shared_count(config["num_shared_experts"])
    writer.add_leading_dense_block_count(config["num_dense_layers"])
    writer.add_expert_weights_norm(True)
    writer.add_expert_weights_scale(config["route_scale"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_sliding_window(config["sliding_window"])


def write_exaone_moe_keys(writer: Any, config: dict[str, Any]) -> None:
    write_windows(writer, config)
    writer.add_expert_shared_count(config["num_shared_experts"])
    writer.add_expert_shared_feed_forward_length(config["moe_intermediate_size"] * config["num_shared_experts"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def write_width(writer: Any, config: dict[str, Any]) -> None:
    """How much of each head is turned."""
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    part = config.get("rope_parameters", {}).get("partial_rotary_factor", 1.0)
    writer.add_rope_dimension_count(int(part * width))


def write_olmo_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_layer_norm_eps(1e-5)
    if config["clip_qkv"] is not None:
        writer.add_clamp_kqv(config["clip_qkv"])


def write_mpt_keys(writer: Any, config: dict[str, Any]) -> None:
    if config["attn_config"]["clip_qkv"] is not None:
        writer.add_clamp_kqv(config["attn_config"]["clip_qkv"])
    writer.add_max_alibi_bias(config["attn_config"]["alibi_bias_max"])


def write_granite_keys(writer: Any, config: dict[str, Any]) -> None:
    write_width(writer, config)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_attention_scale(config["attention_multiplier"])
    writer.add_embedding_scale(config["embedding_multiplier"])
    writer.add_residual_scale(config["residual_multiplier"])
    writer.add_logit_scale(config["logits_scaling"])


def write_cohere_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_logit_scale(config["logit_scale"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    if config["model_type"] == "cohere2":
        write_width(writer, config)
        writer.add_sliding_window(config["sliding_window"])


def write_nomic_keys(writer: Any, config: dict[str, Any]) -> None:
    if "moe_every_n_layers" in config:
        writer.add_moe_every_n_layers(config["moe_every_n_layers"])
        writer.add_expert_used_count(config["moe_top_k"])


def write_hunyuan_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    writer.add_rope_scaling_factor(1)
    writer.add_rope_scaling_orig_ctx_len(256 * 1024)


def write_modernbert_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_vocab_size(config["vocab_size"])
    writer.add_sliding_window(config["local_attention"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def write_parallel_keys(writer: Any, config: dict[str, Any]) -> None:
    write_width(writer, config)
    writer.add_parallel_residual(config["use_parallel_residual"])


def write_granite_mixture_keys(writer: Any, config: dict[str, Any]) -> None:
    write_granite_keys(writer, config)
    if config["shared_intermediate_size"]:
        writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])


def write_ernie_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_interleave_moe_layer_step(config["moe_layer_interval"])
    writer.add_leading_dense_block_count(config["moe_layer_start_index"])
    writer.add_expert_shared_count(config["moe_num_shared_experts"])
    writer.add_expert_shared_feed_forward_length(config["intermediate_size"] // config["num_key_value_heads"])


def write_hunyuan_mixture_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_expert_shared_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_expert_shared_count(1)


def write_grouped_keys(writer: Any, config: dict[str, Any]) -> None:
    if config["model_type"] == "glm4_moe":
        write_width(writer, config)
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def write_deepseek_keys(writer: Any, config: dict[str, Any]) -> None:
    write_width(writer, config)
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_weights_scale(1.0)
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_shared_count(config["n_shared_experts"])


def write_apertus_keys(writer: Any, config: dict[str, Any]) -> None:
    write_width(writer, config)
    file = open_safetensors(Golden("apertus").folder)
    for stored in ("alpha_p", "alpha_n", "beta", "eps"):
        names = [f"model.layers.{index}.mlp.act_fn.{stored}" for index in range(config["num_hidden_layers"])]
        getattr(writer, f"add_xielu_{stored}")([float(file.array(name).reshape(())) for name in names])


def write_ministral_keys(writer: Any, config: dict[str, Any]) -> None:
    write_width(writer, config)
    rope = config["rope_parameters"]
    writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
    writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])


def write_places(writer: Any, config: dict[str, Any]) -> None:
    writer.add_rope_dimension_sections([*config["rope_parameters"]["mrope_section"], 0])
    if config["model_type"] != "qwen2_vl":
        writer.add_num_deepstack_layers(1)


def write_minimax_keys(writer: Any, config: dict[str, Any]) -> None:
    write_width(writer, config)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_expert_feed_forward_length(config["intermediate_size"])


def write_gpt_oss_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_sliding_window(config["sliding_window"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])


def write_mamba_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(2**20)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_layer_norm_rms_eps(config["layer_norm_epsilon"])
    writer.add_ssm_conv_kernel(config["conv_kernel"])
    writer.add_ssm_inner_size(config["expand"] * config["hidden_size"])
    writer.add_ssm_state_size(config["state_size"])
    writer.add_ssm_time_step_rank(config.get("num_heads") or config["time_step_rank"])
    if config["model_type"] != "mamba2":
        writer.add_ssm_dt_b_c_rms(config["model_type"] == "falcon_mamba")
    else:
        writer.add_ssm_group_count(config["n_groups"])


def write_lfm2_keys(writer: Any, config: dict[str, Any]) -> None:
    shared = config["num_key_value_heads"]
    writer.add_head_count_kv([shared if kind == "full_attention" else 0 for kind in config["layer_types"]])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_shortconv_l_cache(config["conv_L_cache"])
    if "num_experts" in config:
        writer.add_leading_dense_block_count(config["num_dense_layers"])
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        return
    multiple = config["block_multiple_of"]
    writer.add_feed_forward_length(-(-int(2 * config["intermediate_size"] / 3) // multiple) * multiple)


def write_delta_keys(writer: Any, config: dict[str, Any]) -> None:
    heads, full = config["linear_num_value_heads"], config["layer_types"].index("full_attention")
    writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
    writer.add_ssm_state_size(config["linear_key_head_dim"])
    writer.add_ssm_group_count(config["linear_num_key_heads"])
    writer.add_ssm_time_step_rank(heads)
    writer.add_ssm_inner_size(config["linear_value_head_dim"] * heads)
    writer.add_full_attention_interval(full + 1)
    write_width(writer, config)
    if config["model_type"] != "qwen3_next":
        writer.add_rope_dimension_sections([11, 11, 10, 0])


def write_granite_hybrid_keys(writer: Any, config: dict[str, Any]) -> None:
    write_granite_mixture_keys(writer, config)
    write_mamba2_beside(writer, config, config["mamba_expand"] * config["hidden_size"])
    shared = config["num_key_value_heads"]
    writer.add_head_count_kv([shared * (kind == "full_attention") for kind in config["layer_types"]])
    writer.add_rope_scaling_finetuned(config["position_embedding_type"] == "rope")


def write_jamba_keys(writer: Any, config: dict[str, Any]) -> None:
    layers, shared = range(config["num_hidden_layers"]), config["num_key_value_heads"]
    first, period = config["attn_layer_offset"], config["attn_layer_period"]
    writer.add_head_count_kv([shared * (index % period == first) for index in layers])
    writer.add_ssm_conv_kernel(config["mamba_d_conv"])
    writer.add_ssm_inner_size(config["mamba_expand"] * config["hidden_size"])
    writer.add_ssm_state_size(config["mamba_d_state"])
    writer.add_ssm_time_step_rank(config["mamba_dt_rank"])


def write_nemotron_h_keys(writer: Any, config: dict[str, Any]) -> None:
    kinds, heads = config["layers_block_type"], config["mamba_num_heads"]
    writer.add_layer_norm_rms_eps(config["layer_norm_epsilon"])
    writer.add_head_count_kv([config["num_key_value_heads"] * (kind == "full_attention") for kind in kinds])
    widths = {"moe": "moe_intermediate_size", "mlp": "intermediate_size"}
    writer.add_feed_forward_length([config[widths[kind]] if kind in widths else 0 for kind in kinds])
    writer.add_ssm_conv_kernel(config["conv_kernel"])
    writer.add_ssm_state_size(config["ssm_state_size"])
    writer.add_ssm_group_count(config["n_groups"])
    writer.add_ssm_inner_size(heads * config["mamba_head_dim"])
    writer.add_ssm_time_step_rank(heads)
    writer.add_rope_scaling_finetuned(False)
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_shared_feed_forward_length(config["moe_shared_expert_intermediate_size"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_group_count(config["n_group"])
    if config["moe_latent_size"]:
        writer.add_moe_latent_size(config["moe_latent_size"])


def write_mamba2_beside(writer: Any, config: dict[str, Any], channels: int) -> None:
    writer.add_ssm_conv_kernel(config["mamba_d_conv"])
    writer.add_ssm_state_size(config["mamba_d_state"])
    writer.add_ssm_group_count(config["mamba_n_groups"])
    writer.add_ssm_inner_size(channels)
    writer.add_ssm_time_step_rank(config["mamba_n_heads"])


def write_latent_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_vocab_size(config["vocab_size"])
    if config["q_lora_rank"] is not None:
        writer.add_q_lora_rank(config["q_lora_rank"])
    kept, turned = config["kv_lora_rank"], config["qk_rope_head_dim"]
    writer.add_kv_lora_rank(kept)
    writer.add_rope_dimension_count(turned)
    if "n_routed_experts" not in config:
        writer.add_key_length(config["qk_nope_head_dim"] + turned)
        return
    writer.add_key_length(kept + turned)
    writer.add_value_length(kept)
    writer.add_key_length_mla(config["qk_nope_head_dim"] + turned)
    writer.add_value_length_mla(config["v_head_dim"])
    writer.add_leading_dense_block_count(config.get("first_k_dense_replace", 1))
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_group_count(config["n_group"])
    writer.add_expert_group_used_count(config["topk_group"])
    sigmoid = config["model_type"] != "deepseek_v2"
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID if sigmoid else gguf.ExpertGatingFuncType.SOFTMAX)
    if config["norm_topk_prob"]:
        writer.add_expert_weights_norm(True)
    if "mscale_all_dim" in config["rope_parameters"]:
        writer.add_rope_scaling_yarn_log_mul(0.1 * config["rope_parameters"]["mscale_all_dim"])


MORE_KEYS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    **dict.fromkeys(("Dream", "llada"), write_masking_keys),
    "apertus": write_apertus_keys,
    "deepseek": write_deepseek_keys,
    "ministral3": write_ministral_keys,
    **dict.fromkeys(("qwen2_vl", "qwen3_vl", "qwen3_vl_moe"), write_places),
    "mpt": write_mpt_keys,
    "modernbert": write_modernbert_keys,
    "falcon": lambda writer, config: writer.add_tensor_data_layout("jploski"),
    "olmo": write_olmo_keys,
    "olmo3": write_windows,
    "exaone4": write_windows,
    "granite": write_granite_keys,
    "granitemoeshared": write_granite_mixture_keys,
    "ernie4_5_moe": write_ernie_keys,
    "hunyuan_v1_moe": write_hunyuan_mixture_keys,
    "minimax_m2": write_minimax_keys,
    **dict.fromkeys(("dots1", "glm4_moe"), write_grouped_keys),
    "afmoe": write_afmoe_keys,
    "exaone_moe": write_exaone_moe_keys,
    "cohere": write_cohere_keys,
    "cohere2": write_cohere_keys,
    "nomic_bert": write_nomic_keys,
    "hunyuan_v1_dense": write_hunyuan_keys,
    "gpt_neox": write_parallel_keys,
    "stablelm": write_parallel_keys,
    "gpt_oss": write_gpt_oss_keys,
    **dict.fromkeys(("lfm2", "lfm2_moe"), write_lfm2_keys),
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), write_delta_keys),
    "granitemoehybrid": write_granite_hybrid_keys,
    "jamba": write_jamba_keys,
    "falcon_h1": lambda writer, config: write_mamba2_beside(writer, config, config["mamba_d_ssm"]),
    "nemotron_h": write_nemotron_h_keys,
    **dict.fromkeys(("minicpm3", "deepseek_v2", "deepseek_v3", "glm4_moe_lite"), write_latent_keys),
    **dict.fromkeys(("arcee", "jais2", "smollm3", "nemotron", "glm", "glm4", "starcoder2"), write_width),
}
"""What the converter's classes of these kinds add."""


def write_rotation(writer: Any, config: dict[str, Any]) -> None:
    every = config.get("rope_parameters", {})
    rope = every.get("full_attention", every) or {key: config[key] for key in ("rope_theta",) if key in config}
    kind = rope.get("rope_type")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type({"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}[kind])
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if "beta_fast" in rope:
            writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        if "beta_slow" in rope:
            writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if "rope_theta" in rope:
        stretched = (
            rope.get("alpha", 1.0) ** (config["head_dim"] / (config["head_dim"] - 2)) if "alpha" in rope else 1.0
        )
        writer.add_rope_freq_base(rope["rope_theta"] * stretched)
    if "sliding_attention" in every:
        writer.add_rope_freq_base_swa(every["sliding_attention"]["rope_theta"])
    if config["model_type"] in ("phi3", "phimoe"):
        writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
        original = config.get("original_max_position_embeddings", config["max_position_embeddings"])
        writer.add_rope_scaling_orig_ctx_len(original)
        if kind == "longrope":
            stretch = config["max_position_embeddings"] / original
            writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(stretch) / np.log(original))))


def write_t5_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(512)
    writer.add_embedding_length(config["d_model"])
    writer.add_feed_forward_length(config["d_ff"])
    writer.add_block_count(config["num_layers"])
    writer.add_head_count(config["num_heads"])
    writer.add_key_length(config["d_kv"])
    writer.add_value_length(config["d_kv"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_relative_attn_buckets_count(config["relative_attention_num_buckets"])
    writer.add_layer_norm_rms_eps(config["layer_norm_epsilon"])
    if "decoder_start_token_id" in config:  # Not of an encoder alone.
        writer.add_decoder_block_count(config["num_decoder_layers"])
        writer.add_decoder_start_token_id(config["decoder_start_token_id"])


def write_rwkv_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_layer_norm_eps(config["norm_eps"])
    writer.add_wkv_head_size(config["head_dim"])
    writer.add_decay_lora_rank(config["decay_low_rank_dim"])
    writer.add_iclr_lora_rank(config["a_low_rank_dim"])
    writer.add_value_residual_mix_lora_rank(config["v_low_rank_dim"])
    writer.add_gate_lora_rank(config["gate_low_rank_dim"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(0)


def rwkv_tensors(arrays: Tensors) -> Iterator[tuple[str, Array]]:
    """The converter's `modify_tensors` of this kind: other names, the six shares in one tensor, dummies in layer 0."""
    shares: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        name = name.replace("ffn", "feed_forward").replace("attn", "attention")
        name = name.replace("_lora.lora.0.weight", "1.weight").replace("_lora.lora.2.weight", "2.weight")
        name = name.replace("_lora.lora.2.bias", "0.weight").replace("feed_forward_norm", "ln2")
        name = name.replace("g_norm", "ln_x")
        before, _, part = name.rpartition(".attention.x_")
        if before:
            shares.setdefault(before.replace("model.layers", "blk"), {})[part] = array
            continue
        yield name if name.endswith((".weight", ".bias")) else name + ".weight", array.squeeze()
        if name.startswith("model.layers.0.attention.a") and name[len("model.layers.0.attention.a")] in "012":
            yield name.replace(".attention.a", ".attention.v"), array
    for block, six in shares.items():
        yield f"{block}.time_mix_lerp_fused.weight", np.stack([six[part] for part in "rwkvag"])


def write_gemma3n_keys(writer: Any, config: dict[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
    writer.add_shared_kv_layers(config["num_kv_shared_layers"])
    writer.add_embedding_length_per_layer_input(config["hidden_size_per_layer_input"])
    writer.add_altup_num_inputs(config["altup_num_inputs"])
    writer.add_altup_active_idx(config["altup_active_idx"])
    pattern = config["activation_sparsity_pattern"]
    writer.add_activation_sparsity_scale([NormalDist().inv_cdf(share) if share else -math.inf for share in pattern])
    writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    write_rotation(writer, config)


def write_gemma4_keys(writer: Any, config: dict[str, Any]) -> None:
    layers, kinds = config["num_hidden_layers"], config["layer_types"]
    slides, shared = [kind == "sliding_attention" for kind in kinds], config["num_kv_shared_layers"]
    whole = next(iter(config["per_layer_config"].values()))
    writer.add_block_count(layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    units = config["intermediate_size"]
    doubled = [units * (1 + (config["use_double_wide_mlp"] and at >= layers - shared)) for at in range(layers)]
    writer.add_feed_forward_length(doubled if config["use_double_wide_mlp"] else units)
    writer.add_head_count(config["num_attention_heads"])
    local = config["num_key_value_heads"]
    keys = [local if slide else whole.get("num_key_value_heads", local) for slide in slides]
    writer.add_head_count_kv(keys if "num_key_value_heads" in whole else local)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_sliding_window_pattern(slides)
    writer.add_shared_kv_layers(shared)
    writer.add_embedding_length_per_layer_input(config["hidden_size_per_layer_input"])
    for add, width in (
        (writer.add_key_length, whole["head_dim"]),
        (writer.add_value_length, whole["head_dim"]),
        (writer.add_rope_dimension_count, whole["head_dim"]),
        (writer.add_key_length_swa, config["head_dim"]),
        (writer.add_value_length_swa, config["head_dim"]),
        (writer.add_rope_dimension_count_swa, config["head_dim"]),
    ):
        add(width)
    if config["enable_moe_block"]:
        writer.add_expert_count(config["num_experts"])
        writer.add_expert_used_count(config["top_k_experts"])
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if config["final_logit_softcapping"]:
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    write_rotation(writer, config)


def changed(config: dict[str, Any], arrays: Tensors) -> Iterator[tuple[str, Array]]:
    """The converter's `modify_tensors`."""
    kind = config["model_type"]
    if kind == "rwkv7":
        yield from rwkv_tensors({name: array.flatten() if "r_k" in name else array for name, array in arrays.items()})
        return
    experts: dict[str, dict[int, Array]] = {}
    for name, array in arrays.items():
        if kind == "llada" and ("q_proj" in name or "k_proj" in name):
            array = permuted(array, config["n_heads" if "q_proj" in name else "n_kv_heads"])
        if kind in PERMUTED and ".self_attn.q_proj" in name:
            array = permuted(array, config["num_attention_heads"])
        if kind in PERMUTED and ".self_attn.k_proj" in name:
            array = permuted(array, config["num_key_value_heads"])
        if kind in ("gpt_neox", "bloom") and "query_key_value" in name:
            heads = config.get("num_attention_heads") or config["n_head"]
            parts = array.reshape(heads, 3, len(array) // heads // 3, *array.shape[1:]).swapaxes(0, 1)
            array = parts.reshape(array.shape)
        if kind == "falcon" and "query_key_value" in name:
            keys = config["num_kv_heads"] if config["new_decoder_architecture"] else 1
            width = config["hidden_size"] // config["num_attention_heads"]
            groups = array.reshape(keys, -1, width, config["hidden_size"])
            cut = (groups[:, :-2], groups[:, -2], groups[:, -1])
            array = np.concatenate([part.reshape(-1, config["hidden_size"]) for part in cut])
        if kind == "gemma4_text" and (".router." in name or ".experts." in name):
            name = name.replace("model.layers", "blk") if "scale" in name else name
            for part, in_gguf in (("router.scale", "ffn_gate_inp"), ("router.per_expert_scale", "ffn_down_exps")):
                name = name.replace(part, f"{in_gguf}.scale")
            yield name + ".weight" * (".experts." in name), array
            continue
        if ".act_fn." in name:
            continue
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")) and kind in ("deepseek", "qwen3_vl_moe"):
            kinds = ["gate_proj", "up_proj"] if "gate_up" in name else ["down_proj"]
            for kept, half in zip(kinds, np.split(array, len(kinds), axis=1), strict=True):
                yield f"{name.rpartition('.')[0]}.{kept}.weight", half
            continue
        if kind == "gpt_oss" and ".mlp.experts." in name:
            yield from gpt_oss_experts(name, array)
            continue
        if name.endswith((".mixer.A_log", ".mamba.A_log", ".mixer.D", ".mamba.D")) and kind not in (
            "mamba",
            "jamba",
            "falcon_mamba",
        ):
            array = array[:, None]
        if name.endswith(".A_log"):
            array = -np.exp(array)
        if name.endswith("dt_bias"):
            name = name.replace("dt_bias", "dt_proj.bias")
        if name.endswith((".mixer.norm.weight", ".mamba.norm.weight")):
            array = array.reshape(config.get("n_groups") or config["mamba_n_groups"], -1)
        if ".conv.conv.weight" in name or ".conv1d.weight" in name:
            array = array.squeeze(1)
        if name.endswith("e_score_correction_bias"):
            name, array = name.replace("correction_bias", "correction.bias"), array.squeeze()
        if kind == "falcon_h1":
            array = falcon_multiplied(config, name, array)
        if kind == "nemotron_h" and name.endswith("dt_proj.bias"):
            name = name.replace("dt_proj.bias", "dt.bias")
        if kind.startswith("qwen3_5") and ".linear_attn." in name:
            array = tiled(config, name, array)
        if kind.startswith(("qwen3_5", "qwen3_next")) and name.endswith("norm.weight"):
            array = array if "linear_attn" in name else array + 1
        if "in_proj_qkvz" in name:
            yield from parted(config, name, array)
            continue
        if name.endswith("expert_bias"):
            name += ".bias"
        if kind == "granitemoehybrid" and not config["num_local_experts"] and "shared_mlp" in name:
            block, _, which = name.removesuffix(".weight").partition("shared_mlp.")
            halves = [array] if which == "output_linear" else np.split(array, 2)
            for part, half in zip(("down",) if len(halves) == 1 else ("gate", "up"), halves, strict=True):
                yield f"{block}mlp.{part}_proj.weight", half
            continue
        if kind in ("granitemoeshared", "granitemoehybrid") and "input_linear" in name:
            block = name.removesuffix("input_linear.weight").replace("block_sparse_moe.", "mlp.experts.")
            for part, half in zip(("gate_proj", "up_proj"), np.split(array, 2, axis=-2), strict=True):
                yield f"{block.replace('shared_mlp.', 'mlp.shared_experts.')}{part}.weight", half
            continue
        if name.endswith("kv_b_proj.weight") and "n_routed_experts" in config:
            both = array.reshape(config["num_attention_heads"], -1, config["kv_lora_rank"])
            plain = config["qk_nope_head_dim"]
            yield name.replace("kv_b_proj", "k_b_proj"), both[:, :plain].swapaxes(1, 2)
            yield name.replace("kv_b_proj", "v_b_proj"), both[:, plain:]
            continue
        if name.endswith(".sinks"):
            name += ".weight"
        if name.endswith("layer_scalar"):
            name += ".weight"
        if kind == "gemma3n_text" and ".altup_" in name:
            before, _, index = name.removesuffix(".weight").rpartition(".")
            experts.setdefault(f"{before}.weight", {})[int(index)] = array
            continue
        if kind == "gemma3n_text" and "embed_tokens_per_layer" in name:  # The converter fills it up, with noughts.
            array = np.concatenate([array, np.repeat(array[:1], config["vocab_size"] - len(array), axis=0)])
        if kind == "gemma3n_text" and name.endswith("_scale"):
            name += ".weight"
        if (
            kind.startswith(("gemma", "nemotron"))
            and kind != "nemotron_h"
            and kind not in ("gemma3n_text", "gemma4_text")
        ):
            array = array + 1 if name.endswith("norm.weight") else array
        if kind == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            array = array.T
        if kind == "modernbert":
            name = name.removeprefix("model.")
            if "id2label" not in config and name.startswith(("head.", "decoder.")):
                continue
            name = name.replace("classifier.", "classifier.out_proj.")
        if kind == "nomic_bert":
            name = name.removeprefix("nomic_bert.")
            if name.startswith("cls.") or name.endswith("experts.bias"):
                continue
            if name.endswith((".mlp.w1", ".mlp.w2")):
                array = array.reshape(config["num_experts"], config["n_inner"], -1)
                yield f"{name}.weight", array.swapaxes(1, 2) if name.endswith("w2") else array
                continue
        if kind == "eurobert" and name.startswith("lm_head"):
            continue
        if kind in ("bert", "roberta", "jina_embeddings_v3"):
            name = name.removeprefix("bert." if kind == "bert" else "roberta.")
            if name.startswith(("cls.predictions", "lm_head.")):
                continue
            if "id2label" in config and name.startswith("classifier.") and name.count(".") == 1:
                name = name.replace("classifier", "classifier.out_proj")
        if kind == "roberta" and name.startswith("embeddings.position_embeddings"):
            array = array[1 + config["pad_token_id"] :]
        if kind == "bloom":
            name = name.removeprefix("transformer.")
        if name.startswith("pooler."):
            continue
        if ".norms." in name:  # StableLM has a norm for each head.
            before, _, index = name.removesuffix(".weight").partition(".norms.")
            experts.setdefault(f"{before}.weight", {})[int(index)] = array
            continue
        if ".experts." in name:
            before, _, behind = name.partition(".experts.")
            index, _, part = behind.partition(".")
            block = before.replace("block_sparse_moe", "feed_forward").replace("model.layers", "layers")
            block = before if kind not in ("mixtral", "lfm2_moe") else block
            block = before.replace("feed_forward", "mlp") if kind == "jamba" else block
            block = f"model.layers.{before.split('.')[2]}.mlp" if kind == "nemotron_h" else block
            experts.setdefault(f"{block}.experts.{part}", {})[int(index)] = array
            continue
        yield name, array
    for name, stack in experts.items():
        yield name, np.stack([stack[index] for index in sorted(stack)])


ENCODERS = ("bert", "roberta", "modernbert", "nomic_bert", "jina_embeddings_v3", "eurobert")
PERMUTED = (
    *("granitemoehybrid", "llama", "mixtral", "granite", "granitemoeshared", "arcee", "smollm3", "olmo"),
    *("deepseek", "ministral3"),
)


def falcon_multiplied(config: dict[str, Any], name: str, array: Array) -> Array:
    by = {
        "down_proj": config["mlp_multipliers"][1],
        "gate_proj": config["mlp_multipliers"][0],
        "k_proj": config["key_multiplier"] * (1 if name.endswith("bias") else config["attention_in_multiplier"]),
        **dict.fromkeys(("q_proj", "v_proj"), 1 if name.endswith("bias") else config["attention_in_multiplier"]),
        "o_proj": config["attention_out_multiplier"],
        "out_proj": config["ssm_out_multiplier"],
        "lm_head": config["lm_head_multiplier"],
        "embed_tokens": config["embedding_multiplier"],
    }
    part = next((part for part in by if f".{part}." in f".{name}."), None)
    if "in_proj" in name:
        written = config["mamba_n_groups"] * config["mamba_d_state"]
        lengths = [config["mamba_d_ssm"]] * 2 + [written] * 2 + [config["mamba_n_heads"]]
        rows: Array = np.repeat(config["ssm_multipliers"], lengths)
        array = array * (rows if array.ndim == 1 else rows[:, None] * config["ssm_in_multiplier"])
    elif part is not None:
        array = array * by[part]
    return array


def tiled(config: dict[str, Any], name: str, array: Array) -> Array:
    """Of Qwen 3.5 the first head of values of each key, then the second of each; `_reorder_v_heads`."""
    keys, heads = config["linear_num_key_heads"], config["linear_num_value_heads"]
    after = 2 * keys * config["linear_key_head_dim"] if "in_proj_qkv" in name or "conv1d" in name else 0
    if name.endswith("linear_attn.norm.weight"):
        return array
    rows = array.T if "out_proj" in name else array
    width = (len(rows) - after) // heads
    turned = rows[after:].reshape(keys, heads // keys, width, *rows.shape[1:]).swapaxes(0, 1)
    rows = np.concatenate([rows[:after], turned.reshape(rows[after:].shape)])
    return rows.T if "out_proj" in name else rows


def parted(config: dict[str, Any], name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """Qwen3-Next's queries, keys, values and gate, which stand group by group."""
    groups, keys = config["linear_num_key_heads"], config["linear_key_head_dim"]
    values = config["linear_num_value_heads"] // groups * config["linear_value_head_dim"]
    cut = np.split(array.reshape(groups, -1, array.shape[-1]), [keys, 2 * keys, 2 * keys + values], axis=1)
    query, key, value, gate = (part.reshape(-1, array.shape[-1]) for part in cut)
    layer = f"blk.{name.split('.')[2]}"
    yield f"{layer}.attn_qkv.weight", np.concatenate([query, key, value])
    yield f"{layer}.attn_gate.weight", gate


def gpt_oss_experts(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """Gate and up are interleaved in the last axis; maps are kept input by output."""
    part, suffix = ("bias" if name.endswith("_bias") else "weight"), name.removesuffix("_bias")
    turned = array.swapaxes(-1, -2) if part == "weight" else array
    if name.endswith(("down_proj", "down_proj_bias")):
        yield f"{suffix}.{part}", turned
        return
    rows = turned if part == "bias" else turned.swapaxes(-1, -2)
    for which, start in (("gate", 0), ("up", 1)):
        half = rows[..., start::2]
        yield suffix.replace("gate_up", which) + f".{part}", half if part == "bias" else half.swapaxes(-1, -2)


def permuted(array: Array, heads: int) -> Array:
    return array.reshape(heads, 2, len(array) // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def extra(config: dict[str, Any]) -> Iterator[tuple[str, Array]]:
    """The converter's `generate_extra_tensors`: what slows each pair of the rotation."""
    rope = config.get("rope_parameters", {})
    if config["model_type"] == "gemma4_text":
        width = next(iter(config["per_layer_config"].values()))["head_dim"]
        turned = int(width * rope["full_attention"]["partial_rotary_factor"] / 2)
        yield "rope_freqs.weight", np.array([1.0] * turned + [1e30] * (width // 2 - turned), np.float32)
    if rope.get("rope_type") == "llama3":
        width, context = config["head_dim"], rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        factors = []
        for pair in range(0, width, 2):
            wavelength = 2 * np.pi * rope["rope_theta"] ** (pair / width)
            if wavelength < context / high:
                factors.append(1.0)
            elif wavelength > context / low:
                factors.append(rope["factor"])
            else:
                smooth = (context / wavelength - low) / (high - low)
                factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
        yield "rope_freqs.weight", np.array(factors, np.float32)
    if rope.get("rope_type") == "longrope":
        yield "rope_factors_long.weight", np.array(rope["long_factor"], np.float32)
        yield "rope_factors_short.weight", np.array(rope["short_factor"], np.float32)
