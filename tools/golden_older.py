"""How the configuration of a golden model was written before transformers 5."""

from __future__ import annotations

from typing import Any

MODERNBERT = {"local": "sliding_attention", "global": "full_attention"}

NOMIC = {
    "num_hidden_layers": "n_layer",
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
}
AFTER = ("bart", "blenderbot-small")
BARTS = (*AFTER, "mbart", "pegasus", "blenderbot")


def older_form(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with the keys that transformers 4 wrote."""
    older = dict(config)
    if "text_config" in config:
        return older | {"text_config": older_form(config["text_config"])}
    if config["model_type"] == "t5gemma":
        older |= {name: older_form(config[name]) for name in ("encoder", "decoder")}
    older["torch_dtype"] = older.pop("dtype", "float32")
    older["transformers_version"] = "4.40.0"
    kind = older["model_type"]
    if kind == "gemma4_text":
        return _older_gemma4(older)
    rope = older.pop("rope_parameters", None)
    if kind in ("gemma3_text", "gemma3n_text"):
        older["rope_theta"] = rope["full_attention"]["rope_theta"]
        older["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        if "factor" in rope["full_attention"]:
            older["rope_scaling"] = {"rope_type": "linear", "factor": rope["full_attention"]["factor"]}
        if kind == "gemma3_text":
            older["sliding_window_pattern"] = older.pop("_sliding_window_pattern", 6)
    elif kind in ("modernbert", "modernbert-decoder"):
        older |= {f"{name}_rope_theta": rope[key]["rope_theta"] for name, key in MODERNBERT.items()}
        older |= {"global_attn_every_n_layers": 3, "position_embedding_type": "absolute", "layer_norm_eps": 1e-5}
        older.pop("layer_types")
    elif kind == "nomic_bert" and "n_layer" not in config:
        older = {key: value for key, value in older.items() if key not in (*NOMIC, "hidden_act", "head_dim")}
        older |= {name: config[key] for key, name in NOMIC.items()} | {"activation_function": "swiglu"}
        older |= {"rotary_emb_base": rope["rope_theta"], "rotary_emb_fraction": 1.0, "prenorm": False, "causal": False}
    elif kind == "olmo3":
        older |= _older_rope(kind, dict(rope["full_attention"]))
    elif rope is not None:
        older |= _older_rope(kind, dict(rope))
    if kind in ("gemma2", "gemma3_text", "qwen2", "qwen3", "smollm3", "qwen3_moe", "exaone4", "cohere2", "cwm"):
        older.pop("layer_types", None)
    if kind == "qwen3_moe" and "num_local_experts" in older:
        older["num_experts"] = older.pop("num_local_experts")
    if kind in BARTS:
        older |= {"normalize_before": kind not in AFTER, "add_final_layer_norm": kind not in AFTER}
        older |= {"normalize_embedding": kind in (*AFTER, "mbart"), "static_position_embeddings": kind == "pegasus"}
        older |= {"add_bias_logits": False, "extra_pos_embeddings": 2, "num_hidden_layers": older["encoder_layers"]}
    if kind in ("t5", "umt5"):
        older["tie_word_embeddings"] = older.pop("scale_decoder_outputs", True)
        for key in ("dense_act_fn", "is_gated_act"):
            older.pop(key, None)
    return older


def _older_gemma4(older: dict[str, Any]) -> dict[str, Any]:
    """As its makers wrote it: what differs by layer is not stated by layer."""
    stated = next(iter(older.pop("per_layer_config").values()), {})
    shared = {"num_global_key_value_heads": stated.get("num_key_value_heads")}
    return older | shared | {"global_head_dim": stated.get("head_dim", older["head_dim"])}


def _older_rope(kind: str, rope: dict[str, Any]) -> dict[str, Any]:
    if kind == "gpt_neox":
        return {"rotary_pct": rope["partial_rotary_factor"], "rotary_emb_base": rope["rope_theta"]}
    older: dict[str, Any] = {"rope_theta": rope.pop("rope_theta")}
    if "partial_rotary_factor" in rope:
        older["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    kind_of_scaling = rope.pop("rope_type")
    if "mrope_section" in rope and kind_of_scaling == "default":
        first = {"type": "mrope"} if kind.startswith("qwen2") else {"rope_type": "default"}
        older["rope_scaling"] = first | rope
    if kind_of_scaling != "default" or kind == "apertus":  # Whose files scale where they say nothing.
        # The first published files say "type", later ones "rope_type".
        older["rope_scaling"] = {"type" if kind_of_scaling in ("linear", "dynamic") else "rope_type": kind_of_scaling}
        older["rope_scaling"] |= rope
    return older
