"""What is known of settings by their names: which change no number, which may say that nothing is there, and between
what each number lies."""

from __future__ import annotations

from typing import Any

HARMLESS = frozenset(
    """
    _name_or_path _commit_hash architectures auto_map custom_pipelines dtype id2label label2id _num_labels num_labels
    model_type name_or_path problem_type finetuning_task task_specific_params prefix tokenizer_class torch_dtype
    torchscript transformers_version transformers.js_config unsloth_fixed unsloth_version use_cache
    license license_name license_link language tags base_model model_name model_version onnx peft_version
    bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id unk_token_id decoder_start_token_id
    eos_token_ids bos_token eos_token pad_token unk_token add_bos_token add_eos_token
    initializer_range initializer_factor init_std init_method init_device gradient_checkpointing pretraining_tp
    neftune_noise_alpha weight_decay learning_rate warmup_steps
    embed_dropout resid_dropout attention_dropout attention_probs_dropout_prob attn_pdrop embd_pdrop resid_pdrop
    hidden_dropout hidden_dropout_prob
    dropout dropout_rate activation_dropout classifier_dropout embedding_dropout layerdrop residual_dropout
    output_attentions output_hidden_states output_past output_router_logits router_aux_loss_coef router_jitter_noise
    router_z_loss_coef return_dict chunk_size_feed_forward _attn_implementation _attn_implementation_autoset
    attn_implementation _attn_implementation_internal _experts_implementation
    _flash_attn_2_enabled use_flash_attn use_flash_attention use_flash_attention_2 flash_attention use_bfloat16
    bf16 fp16 fp32 tf_legacy_loss use_xla ep_size tp_size expert_parallel_size tensor_parallel_size
    seq_length seq_len max_seq_len max_seq_length model_max_length max_sequence_length
    max_length min_length max_new_tokens do_sample early_stopping num_beams num_beam_groups diversity_penalty
    temperature top_k top_p min_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores return_dict_in_generate
    forced_bos_token_id forced_eos_token_id renormalize_logits remove_invalid_values exponential_decay_length_penalty
    suppress_tokens begin_suppress_tokens min_new_tokens epsilon_cutoff eta_cutoff top_h encoder_repetition_penalty
    guidance_scale penalty_alpha forced_decoder_ids sequence_bias stop_strings max_time pooling_type
    classifier.output_labels quantization quantization_config compression_config
    """.split()
)
"""Keys that change no number of a forward pass, whatever they say: training, bookkeeping, how the reference
implementation computes, how it would choose tokens, how long texts may become, ids that the tokenizer states, and what
the vectors of sentences are made of (model/pooling.py). How weights are quantized is read with them
(files/quantized)."""

MAY_BE_OFF = frozenset(
    """
    add_cross_attention cross_attention_hidden_size is_decoder is_encoder_decoder tie_encoder_decoder pruned_heads
    adapters lora_rank loss_type vision_config audio_config image_token_id image_token_index
    sparsity_config torch_dtype_override sparse_attention
    attention_bias bias lm_head_bias mlp_bias qkv_bias use_bias use_qkv_bias attention_out_bias layer_norm_bias
    qk_layernorm qk_norm use_qk_norm use_sliding_window sliding_window max_window_layers
    attn_logit_softcapping final_logit_softcapping logit_cap clip_qkv use_attention_sinks
    alibi multi_query new_decoder_architecture parallel_attn use_parallel_residual scale_embedding
    rope_scaling rope_interleaved use_mrope mrope_section mrope_interleaved rope_parameters
    use_bidirectional_attention use_moe num_experts num_local_experts n_shared_experts num_shared_experts
    mlp_only_layers moe_layers num_nextn_predict_layers num_mtp_layers cache_implementation layer_types
    _sliding_window_pattern sliding_window_pattern no_rope_layers head_dim n_inner
    expert_count expert_used_count expert_shared_count leading_dense_block_count nextn_predict_layers
    attention.sliding_window attention.sliding_window_pattern rope.scaling.type
    """.split()
)
"""Parts and steps that other families have, or that another form of the file says: a family that does not read such a
key opens a model only where the key says that nothing of the kind is there (`says_nothing`)."""


def says_nothing(key: str, value: Any) -> bool:
    """Whether the value of one of MAY_BE_OFF says that there is no such part or step."""
    if key == "layer_types":
        return isinstance(value, list) and all(kind == "full_attention" for kind in value)
    return value is None or value is False or value in ("", "none", [], {}) or (type(value) is int and value == 0)


_EPSILON, _POSITIVE, _SHARE = (0.0, 1.0), (1e-6, 1e12), (0.0, 1.0)
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"), _EPSILON),
    **dict.fromkeys(("attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"), _EPSILON),
    **dict.fromkeys(("rope_theta", "rotary_emb_base", "rope_local_base_freq"), _POSITIVE),
    **dict.fromkeys(("local_rope_theta", "global_rope_theta", "rotary_scaling_factor"), _POSITIVE),
    **dict.fromkeys(("rope.freq_base", "rope.freq_base_swa", "rope.scaling.factor"), _POSITIVE),
    **dict.fromkeys(("partial_rotary_factor", "rotary_pct"), _SHARE),
    **dict.fromkeys(("factor", "low_freq_factor", "high_freq_factor", "attention_factor"), _POSITIVE),
    **dict.fromkeys(("beta_fast", "beta_slow", "mscale", "mscale_all_dim"), _POSITIVE),
    **dict.fromkeys(("llama_4_scaling_beta", "attention.temperature_scale"), (0, 100)),
    **dict.fromkeys(("rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"), _POSITIVE),
    **dict.fromkeys(("rope.scaling.attn_factor",), _POSITIVE),
    **dict.fromkeys(("query_pre_attn_scalar", "swiglu_limit"), _POSITIVE),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping"), _POSITIVE),
    **dict.fromkeys(("attention_multiplier", "embedding_multiplier", "residual_multiplier"), _POSITIVE),
    **dict.fromkeys(("logits_scaling", "logit_scale", "clip_qkv", "attention.clamp_kqv"), _POSITIVE),
    **dict.fromkeys(("alpha", "rope.scaling.alpha"), _POSITIVE),
    **dict.fromkeys(("softmax_scale", "attention.scale", "embedding_scale", "residual_scale"), _POSITIVE),
    **dict.fromkeys(("norm_eps", "norm_epsilon", "mixer_rms_eps"), _EPSILON),
    **dict.fromkeys(("expand", "hidden_ratio"), (1e-2, 1e3)),
    **dict.fromkeys(("key_multiplier", "lm_head_multiplier"), _POSITIVE),
    **dict.fromkeys(("attention_in_multiplier", "attention_out_multiplier"), _POSITIVE),
    **dict.fromkeys(("ssm_in_multiplier", "ssm_out_multiplier"), _POSITIVE),
    **dict.fromkeys(("block_ffn_dim_multiplier", "short_factor", "long_factor"), _POSITIVE),
    **dict.fromkeys(("scale_emb", "scale_depth", "dim_model_base"), _POSITIVE),
    **dict.fromkeys(("routed_scaling_factor", "expert_weights_scale", "route_scale"), _POSITIVE),
    "rope.scaling.yarn_log_multiplier": (0.0, 1e6),
    "swiglu_alpha": (-1e6, 1e6),
}
"""The least and the most that each number may be; a wider one would leave float32 or divide by nothing."""

LISTS = {
    **dict.fromkeys(("layer_types", "mlp_layer_types", "no_rope_layers", "mlp_only_layers"), False),
    **dict.fromkeys(("short_factor", "long_factor", "full_attn_idxs", "attn_layer_indices"), False),
    **dict.fromkeys(("attention_types", "time_step_limit"), True),
}
WHOLE = frozenset(
    """
    pad_token_id mask_token_id max_window_layers first_k_dense_replace num_dense_layers num_nextn_predict_layers
    num_mtp_layers leading_dense_block_count nextn_predict_layers expert_count expert_shared_count n_shared_experts
    """.split()
)
"""Keys that hold a list, and whether other lists and objects may stand in it; and keys that hold a whole number:
wherever they are read and not null."""
