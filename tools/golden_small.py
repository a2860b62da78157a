"""Which tiny models stand for decoders of 2023 that few others resemble."""

from __future__ import annotations

import transformers as t
from golden_families import Family, eager
from golden_later import PART, SMALLER

FAMILIES = [
    Family(
        "persimmon",
        eager(
            t.PersimmonConfig,
            **{key: value for key, value in SMALLER.items() if key not in ("num_key_value_heads", "head_dim")},
            rope_parameters={**PART, "partial_rotary_factor": 0.75},
        ),
        t.PersimmonForCausalLM,
        tokens=23,
        vocabulary=83,
    ),
    Family(
        "mpt",
        eager(
            t.MptConfig,
            vocab_size=83,
            d_model=24,
            n_layers=3,
            n_heads=3,
            max_seq_len=64,
            attn_config={"clip_qkv": 0.9, "softmax_scale": 0.3},
        ),
        t.MptForCausalLM,
        layers=lambda model: model.transformer.blocks,
        tokens=23,
        vocabulary=83,
    ),
    Family(
        "biogpt",
        eager(
            t.BioGptConfig,
            vocab_size=83,
            hidden_size=24,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=34,
            max_position_embeddings=64,
        ),
        t.BioGptForCausalLM,
        layers=lambda model: model.biogpt.layers,
        tokens=23,
        vocabulary=83,
    ),
]
