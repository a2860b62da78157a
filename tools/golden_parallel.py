"""Which tiny models stand for the decoders of 2021 to 2023 that turn queries and keys, or share keys and values."""

from __future__ import annotations

from typing import Any

import transformers as t
from golden_families import Family, eager

PART = {"rope_type": "default", "rope_theta": 400.0}


def older(name: str, config: Any, model: Any, **settings: Any) -> Family:
    return Family(
        name,
        eager(config, **{"vocab_size": 83, "max_position_embeddings": 64, **settings}),
        model,
        layers=lambda model: model.transformer.h,
        tokens=23,
        vocabulary=83,
    )


def falcon(name: str, **settings: Any) -> Family:
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_hidden_size": 34}
    return older(name, t.FalconConfig, t.FalconForCausalLM, **sizes, rope_parameters=PART, **settings)


FAMILIES = [
    falcon("falcon"),
    falcon("falcon-grouped", new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False),
    falcon("falcon-sequential", multi_query=False, parallel_attn=False, bias=True),
    older("gptj", t.GPTJConfig, t.GPTJForCausalLM, n_embd=24, n_layer=3, n_head=3, n_inner=34, rotary_dim=6),
    older("codegen", t.CodeGenConfig, t.CodeGenForCausalLM, n_embd=24, n_layer=2, n_head=3, n_inner=34, rotary_dim=6),
    older("gpt_bigcode", t.GPTBigCodeConfig, t.GPTBigCodeForCausalLM, n_embd=24, n_layer=2, n_head=3, n_inner=34),
]
