"""Which tiny models stand for mixtures of experts: more experts than work on a token, each setting of a router on in
one of them."""

from __future__ import annotations

import transformers as t
from golden_later import family

EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 14, "num_hidden_layers": 2}


FAMILIES = [
    family(
        "qwen2-moe",
        t.Qwen2MoeConfig,
        t.Qwen2MoeForCausalLM,
        **EXPERTS,
        num_experts=5,
        shared_expert_intermediate_size=18,
        mlp_only_layers=[1],
    ),
]
