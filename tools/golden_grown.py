"""A tiny model whose queries grow: the text is longer than twice what they do not grow in; one whose activation is
learned."""

from __future__ import annotations

import transformers as t
from golden_later import PART, family

ROTATION = {
    "rope_type": "yarn",
    "rope_theta": 50.0,
    "factor": 4.0,
    "original_max_position_embeddings": 8,
    "beta_fast": 1.5,
    "beta_slow": 0.4,
    "mscale": 1.0,
    "mscale_all_dim": 0.5,
    "llama_4_scaling_beta": 0.4,
}
FAMILIES = [
    family(
        "ministral3",
        t.Ministral3Config,
        t.Ministral3ForCausalLM,
        num_hidden_layers=2,
        head_dim=16,
        rope_parameters=ROTATION,
        sliding_window=9,
    ),
    family(
        "apertus", t.ApertusConfig, t.ApertusForCausalLM, num_hidden_layers=2, attention_bias=True, rope_parameters=PART
    ),
]
