"""Which tiny models stand for the kinds that were opened last: each has a mechanism, or a set of arrays, of its own."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager

TINY: dict[str, Any] = {
    "vocab_size": 43,
    "hidden_size": 12,
    "intermediate_size": 14,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 6,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ROTATION = {"rope_type": "default", "rope_theta": 40.0}


def tiny(name: str, config: Any, model: Any, without: str = "", more: Any = None, **settings: Any) -> Family:
    """`without`: the keys of TINY that this kind does not have; `more`: what else a `Family` says."""
    given = {key: value for key, value in TINY.items() if key not in without.split()} | settings
    return Family(name, eager(config, **given), model, **{"tokens": 9, "prompt": 5, "vocabulary": 43, **(more or {})})


MIXTURE = {
    "moe_intermediate_size": 6,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "rope_parameters": ROTATION,
}
CAPPED = {"sliding_window": 4, "query_pre_attn_scalar": 3, "attn_logit_softcapping": 2.0}
GROUPED = "num_key_value_heads head_dim"


class FalconOnce(t.FalconForCausalLM):
    """Where attentions are returned the reference adds ALiBi twice: in the mask, as everywhere, and to the scores."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for layer in self.transformer.h:
            layer.self_attention.register_forward_pre_hook(without_alibi, with_kwargs=True)


def without_alibi(_: Any, given: Any, by_name: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return given, {**by_name, "alibi": by_name["alibi"] * 0}


FAMILIES = [
    tiny(
        "opt-narrow",
        t.OPTConfig,
        t.OPTForCausalLM,
        without=f"{GROUPED} intermediate_size",
        more={"layers": lambda model: model.model.decoder.layers},
        ffn_dim=14,
        word_embed_proj_dim=7,
        do_layer_norm_before=False,
    ),
    tiny(
        "xglm",
        t.XGLMConfig,
        t.XGLMForCausalLM,
        without=f"{GROUPED} intermediate_size hidden_size num_hidden_layers num_attention_heads",
        d_model=14,
        ffn_dim=10,
        num_layers=2,
        attention_heads=2,
    ),
    tiny("vaultgemma", t.VaultGemmaConfig, t.VaultGemmaForCausalLM, rope_parameters=ROTATION, **CAPPED),
    tiny(
        "falcon-alibi",
        t.FalconConfig,
        FalconOnce,
        without=f"{GROUPED} intermediate_size",
        more={"layers": lambda model: model.transformer.h},
        ffn_hidden_size=14,
        alibi=True,
        multi_query=False,
        parallel_attn=False,
        bias=True,
    ),
    tiny(
        "bart-untied",
        t.BartConfig,
        t.BartForConditionalGeneration,
        without=f"{GROUPED} intermediate_size hidden_size num_hidden_layers num_attention_heads",
        more={
            "kind": "encoder-decoder",
            "prompt": 8,
            "layers": lambda model: model.model.decoder.layers,
            "encoder_layers": lambda model: model.model.encoder.layers,
        },
        tie_word_embeddings=False,
        **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 10 for side in ("encoder", "decoder")},
        d_model=8,
    ),
    tiny(
        "afmoe",
        t.AfmoeConfig,
        t.AfmoeForCausalLM,
        **MIXTURE,
        num_shared_experts=1,
        num_dense_layers=1,
        route_scale=1.3,
        mup_enabled=True,
        sliding_window=4,
        layer_types=["full_attention", "sliding_attention"],
    ),
    tiny(
        "exaone_moe",
        t.ExaoneMoeConfig,
        t.ExaoneMoeForCausalLM,
        **MIXTURE,
        num_shared_experts=2,
        first_k_dense_replace=1,
        routed_scaling_factor=1.3,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention"],
    ),
]
