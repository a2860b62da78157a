"""Which tiny models stand for the decoders some or all of whose layers keep a state."""

from __future__ import annotations

import transformers as t
from golden_families import Family, eager

SMALL = {
    "vocab_size": 83,
    "hidden_size": 18,
    "intermediate_size": 22,
    "num_attention_heads": 3,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = {**SMALL, "num_key_value_heads": 1}

FAMILIES = [
    Family(
        "lfm2",
        eager(
            t.Lfm2Config,
            **GROUPED,
            num_hidden_layers=3,
            layer_types=["conv", "full_attention", "conv"],
            conv_bias=True,
            conv_L_cache=3,
            block_multiple_of=10,
            rope_parameters={"rope_type": "default", "rope_theta": 400.0},
        ),
        t.Lfm2ForCausalLM,
        tokens=13,
        vocabulary=83,
    ),
]
