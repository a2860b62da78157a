"""What the converter's `set_gguf_parameters` write for each kind of model: what all have, and which are other kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.model.gguf_of.keys_of_kinds import MORE_KEYS
from tests.model.gguf_of.rotation import rotation
from tests.model.gguf_of.values import Config, Table, filled, first, perhaps
from tests.model.gguf_of.whole_keys import WHOLE_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

ENCODERS = ("bert", "roberta", "modernbert", "nomic_bert", "jina_embeddings_v3", "eurobert")
RMS_EPSILON = ("lfm2", "lfm2_moe")
"""Whose key for the ε of their RMS norms others have for layer norms."""


def context(config: Config) -> int:
    padded = 1 + config["pad_token_id"] if config["model_type"] == "roberta" else 0
    return int(first("max_position_embeddings", "n_positions")(config)) - padded


KEYS: Table = {
    "block_count": lambda config: perhaps("num_hidden_layers", "n_layer")(config) or len(config["layers_block_type"]),
    "context_length": context,
    "embedding_length": first("hidden_size", "n_embd"),
    "feed_forward_length": first("intermediate_size", "n_inner"),
    "head_count": first("num_attention_heads", "n_head"),
    "head_count_kv": perhaps("num_key_value_heads"),
    "layer_norm_rms_eps": perhaps("rms_norm_eps"),
    "layer_norm_eps": perhaps("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"),
    "key_length": perhaps("head_dim"),
    "value_length": perhaps("head_dim"),
    "expert_count": perhaps("num_local_experts", "num_experts", "moe_num_experts"),
    "expert_used_count": perhaps("num_experts_per_tok", "moe_topk", "moe_k"),
    "attn_logit_softcapping": perhaps("attn_logit_softcapping"),
    "final_logit_softcapping": perhaps("final_logit_softcapping"),
    "expert_feed_forward_length": perhaps("moe_intermediate_size"),
    "expert_shared_feed_forward_length": perhaps("shared_expert_intermediate_size"),
}
ONE_RMS: Table = {"layer_norm_rms_eps": perhaps("rms_norm_eps", "norm_eps"), "layer_norm_eps": None}
WINDOW: Table = {"sliding_window": lambda config: config.get("sliding_window") or 0}
ONE_WAY: Table = {"causal_attention": False}
ENCODER: Table = {
    **ONE_WAY,
    "token_type_count": perhaps("type_vocab_size"),
    "classifier_output_labels": lambda config: (
        [label for _, label in sorted(config["id2label"].items())] if "id2label" in config else None
    ),
}
LLAMA: Table = {"vocab_size": "vocab_size", "rope_dimension_count": "head_dim"}
SHARED: dict[str, Table] = {
    **dict.fromkeys(RMS_EPSILON, ONE_RMS),
    **dict.fromkeys(("gemma2", "gemma3_text", "phi3", "phimoe"), WINDOW),
    **dict.fromkeys(ENCODERS, ENCODER),
    **dict.fromkeys(("llama", "mixtral"), LLAMA),
}


def written_keys(config: Config) -> dict[str, Any]:
    """Each by the end of the name of the writer's method."""
    kind = config["model_type"]
    if kind in WHOLE_KEYS:
        found = filled(WHOLE_KEYS[kind], config)
        return found | rotation(config) if kind.startswith("gemma") else found
    if kind in NAMED:
        config = config | NAMED[kind](config)
    if "kv_lora_rank" in config:
        heads = 1 if "n_routed_experts" in config else config["num_key_value_heads"]
        config = {**config, "head_dim": None, "num_key_value_heads": heads}
    found = filled(KEYS | SHARED.get(kind, {}), config)
    if config.get("use_bidirectional_attention"):
        found |= ONE_WAY
    if kind != "gemma":
        found |= rotation(config)
    return found | filled(MORE_KEYS.get(kind, {}), config)


def by_name(**keys: str) -> Callable[[Config], Config]:
    return lambda config: {key: config[name] for key, name in keys.items()}


def of_bloom(config: Config) -> Config:
    return {"max_position_embeddings": config["hidden_size"], "intermediate_size": 4 * config["hidden_size"]}


def of_mpt(config: Config) -> Config:
    named = by_name(
        num_hidden_layers="n_layers",
        num_attention_heads="n_heads",
        max_position_embeddings="max_seq_len",
        hidden_size="d_model",
    )
    return {**named(config), "intermediate_size": 4 * config["d_model"]}


def of_nomic(config: Config) -> Config:
    if "n_positions" not in config or "n_layer" not in config:
        return {}
    return {"max_position_embeddings": config["n_positions"], "rope_theta": config["rotary_emb_base"]}


def of_falcon(config: Config) -> Config:
    keys = config["num_kv_heads"] if config["new_decoder_architecture"] or not config["multi_query"] else 1
    return {"num_key_value_heads": keys, "intermediate_size": config["ffn_hidden_size"]}


NAMED: dict[str, Callable[[Config], Config]] = {
    "bloom": of_bloom,
    "mpt": of_mpt,
    "nomic_bert": of_nomic,
    "falcon": of_falcon,
    "llada": by_name(
        num_hidden_layers="n_layers",
        num_attention_heads="n_heads",
        num_key_value_heads="n_kv_heads",
        hidden_size="d_model",
        intermediate_size="mlp_hidden_size",
        max_position_embeddings="max_sequence_length",
    ),
}
"""What stands under other names in the configurations of these kinds."""
