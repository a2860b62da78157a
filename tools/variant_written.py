"""How the configurations of `variants.py` are written: as another version or tool writes the same, with keys left out
or null, with keys that say nothing, and with keys of other families."""

from __future__ import annotations

from contextlib import suppress
from random import Random  # noqa: TC003
from typing import Any

import golden_older
from variant_draw import Draw  # noqa: TC002

HARMLESS: dict[str, Any] = {
    "model_max_length": 4096,
    "seq_length": 2048,
    "max_new_tokens": 512,
    "eos_token_ids": [2, 3],
    "license": "apache-2.0",
    "sliding_window_pattern": None,
    "use_mrope": False,
    "quantization_config": None,
    "unsloth_version": "2025.3.1",
    "use_cache": False,
    "pretraining_tp": 4,
    "transformers.js_config": {"dtype": "q4"},
    "rope_interleaved": False,
    "attention_dropout": 0.1,
    "output_hidden_states": True,
    "bos_token_id": None,
    "mlp_bias": False,
    "max_length": 20,
    "tokenizer_class": "LlamaTokenizer",
    "image_token_index": None,
}
"""Keys that published configurations hold beside those of their class, and that change nothing where it is not its."""


OTHERS: dict[str, Any] = {
    "use_sliding_window": True,
    "sliding_window": 3,
    "layer_types": ["sliding_attention"],
    "attention_bias": True,
    "rope_scaling": {"type": "linear", "factor": 2.0},
    "partial_rotary_factor": 0.5,
    "logit_scale": 0.5,
    "logits_scaling": 2.0,
    "embedding_multiplier": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.5,
    "attn_logit_softcapping": 3.0,
    "final_logit_softcapping": 4.0,
    "query_pre_attn_scalar": 5,
    "clip_qkv": 0.5,
    "scale_embedding": True,
    "num_key_value_heads": 1,
    "norm_topk_prob": False,
    "routed_scaling_factor": 2.5,
    "use_qk_norm": True,
    "alibi": True,
    "use_parallel_residual": False,
    "layer_norm_eps": 0.1,
    "rms_norm_eps": 0.1,
    "rope_theta": 50.0,
    "position_embedding_type": "alibi",
    "hidden_activation": "relu",
    "scoring_func": "softmax",
}
"""Keys that change a number where they are a family's, put where they may not be: refused, or as the reference does."""


def rewritten(random: Random, written: dict[str, Any], draw: Draw) -> tuple[dict[str, Any], str | None]:
    """The same configuration as another version or another tool writes it, and a key of another family that it got."""
    found, foreign = dict(written), None
    if draw.change is not None:  # Written as its makers write it, in one way.
        return found, None
    if random.random() < 0.4 and has_older_form(found):
        found = golden_older.older_form(found)
    if "text_config" in found:
        found["text_config"] = shortened(random, found["text_config"], type(draw.config.text_config))
    else:
        found = shortened(random, found, type(draw.config))
    for key in random.sample(sorted(HARMLESS), k=random.choice((0, 0, 1, 2))):
        found.setdefault(key, HARMLESS[key])
    if random.random() < 0.15:
        key = random.choice(sorted(OTHERS))
        inner = found.get("text_config", found)
        foreign = None if key in inner else key
        inner.setdefault(key, OTHERS[key] if key != "layer_types" else OTHERS[key] * inner.get("num_hidden_layers", 1))
    if random.random() < 0.15 and draw.kind == "decoder" and "text_config" not in found:
        found["is_causal"] = random.random() < 0.4 or found["model_type"].startswith(WITH_A_STATE)
    return found, foreign


WITH_A_STATE = tuple(
    "mamba falcon_mamba rwkv7 lfm2 qwen3_next qwen3_5 falcon_h1 jamba bamba granitemoehybrid nemotron_h".split()
)
"""Which read a text from its front, and no other way."""


def has_older_form(config: dict[str, Any]) -> bool:
    """Whether the reference reads its older form as it was written: Nomic's own class reads it, and the versions of the
    reference differ about an OLMo 3 of another base, which no published model has."""
    if config["model_type"] == "olmo3":
        return all(rope["rope_theta"] == 500_000.0 for rope in config["rope_parameters"].values())
    return config["model_type"] != "nomic_bert"


def shortened(random: Random, found: dict[str, Any], config: Any) -> dict[str, Any]:
    """With keys left out, or null."""
    if random.random() < 0.3:
        defaults = config().to_dict()
        found = {key: value for key, value in found.items() if stated(key) or value != defaults.get(key)}
    free = [key for key in sorted(found) if key != "model_type" and not shape_of(key)]
    if random.random() < 0.3:  # A key left out, whatever the value: the reference takes its default.
        for key in random.sample(free, k=min(2, len(free))):
            found.pop(key)
    elif free and random.random() < 0.12:
        empty = {**found, random.choice(free): None}
        with suppress(Exception):  # Not every key may be null there.
            config.from_dict(empty)
            found = empty
    return found


def stated(key: str) -> bool:
    """What every file says, also where it is the class's default."""
    return key == "model_type" or key.endswith(("encoder_layers", "decoder_layers"))


SHAPE_ENDINGS = tuple("_size _heads _layers _dim _ff _kv _model _embd _positions _len _rank _bias _embeddings".split())
SHAPES = set(
    "n_layer n_head n_inner dim head_dim layer_types num_experts num_local_experts no_rope_layers rope_parameters "
    "rope_scaling relative_attention_num_buckets tie_word_embeddings decoder_start_token_id num_experts_per_tok "
    "mlp_only_layers feed_forward_proj n_layers n_heads n_head_kv n_words emb_dim attention_types attn_config "
    "text_config mamba_d_state mamba_d_conv mamba_d_head mamba_d_ssm mamba_expand layers_block_type expand n_groups "
    "n_group topk_group conv_kernel mamba_n_groups n_routed_experts n_shared_experts id2label label2id architectures "
    "first_k_dense_replace moe_layer_start_index num_dense_layers bias enable_bias share_att_key qk_layernorm "
    "use_qk_norm _remove_final_layer_norm do_layer_norm_before norm_rel_ebd sliding_window use_post_norm "
    "relative_attention enable_moe_block new_decoder_architecture multi_query parallel_attn vision_config "
    "attn_layer_period attn_layer_offset expert_layer_period expert_layer_offset chunk_size altup_num_inputs "
    "norm_first pad_token_id pos_att_type max_relative_positions visual_indicator_token_ids position_buckets".split()
)
"""Keys whose default, of full size, would come in the place of a small model's."""


def shape_of(key: str) -> bool:
    return key.endswith(SHAPE_ENDINGS) or key in SHAPES
