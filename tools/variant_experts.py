"""The later mixtures of experts in `variants.py`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
from variant_draw import ACTIVATIONS, Draw, grouped, head_width, perhaps, with_rope
from variant_later import FACTOR, SELDOM, SWITCH

MULTIPLIERS = ("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling")
GRANITE = {"attention_bias": SWITCH, **dict.fromkeys(MULTIPLIERS, FACTOR)}
GROUPED: dict[str, tuple[Any, ...]] = {
    "attention_bias": SWITCH,
    "norm_topk_prob": SWITCH,
    "routed_scaling_factor": FACTOR,
    "first_k_dense_replace": (0, 1, 2),
}
EXPERTS: dict[str, tuple[Any, Any, str, str, dict[str, tuple[Any, ...]]]] = {
    "granitemoe": (t.GraniteMoeConfig, t.GraniteMoeForCausalLM, "num_local_experts", "num_experts_per_tok", GRANITE),
    "granitemoeshared": (
        t.GraniteMoeSharedConfig,
        t.GraniteMoeSharedForCausalLM,
        "num_local_experts",
        "num_experts_per_tok",
        {**GRANITE, "shared_intermediate_size": (0, 7, 12)},
    ),
    "phimoe": (
        t.PhimoeConfig,
        t.PhimoeForCausalLM,
        "num_local_experts",
        "",
        {
            "attention_bias": SWITCH,
            "lm_head_bias": SWITCH,
            "sliding_window": (None, 3, 9),
            "router_jitter_noise": (0.0, 0.01, 0.2, 0.6),
        },
    ),
    "ernie4_5_moe": (
        t.Ernie4_5_MoeConfig,
        t.Ernie4_5_MoeForCausalLM,
        "moe_num_experts",
        "moe_k",
        {
            "use_bias": SELDOM,
            "moe_num_shared_experts": (0, 1, 2),
            "moe_layer_start_index": (0, 1),
            "moe_layer_end_index": (-1, 1),
            "moe_layer_interval": (1, 2),
        },
    ),
    "hunyuan_v1_moe": (
        t.HunYuanMoEV1Config,
        t.HunYuanMoEV1ForCausalLM,
        "num_experts",
        "moe_topk",
        {"attention_bias": SWITCH},
    ),
    "olmoe": (
        t.OlmoeConfig,
        t.OlmoeForCausalLM,
        "num_experts",
        "num_experts_per_tok",
        {"attention_bias": SWITCH, "norm_topk_prob": SWITCH},
    ),
    "flex_olmo": (
        t.FlexOlmoConfig,
        t.FlexOlmoForCausalLM,
        "num_experts",
        "num_experts_per_tok",
        {"attention_bias": SWITCH, "norm_topk_prob": SWITCH, "pad_token_id": (0,)},
    ),
    "dots1": (
        t.Dots1Config,
        t.Dots1ForCausalLM,
        "n_routed_experts",
        "num_experts_per_tok",
        {**GROUPED, "sliding_window": (None, 3, 7), "max_window_layers": (0, 1, 2)},
    ),
    "glm4_moe": (
        t.Glm4MoeConfig,
        t.Glm4MoeForCausalLM,
        "n_routed_experts",
        "num_experts_per_tok",
        {**GROUPED, "use_qk_norm": SWITCH},
    ),
    "afmoe": (
        t.AfmoeConfig,
        t.AfmoeForCausalLM,
        "num_experts",
        "num_experts_per_tok",
        {
            "num_dense_layers": (0, 1, 2),
            "num_shared_experts": (1, 2),
            "route_scale": FACTOR,
            "mup_enabled": SWITCH,
            "sliding_window": (3, 7),
            "global_attn_every_n_layers": (2, 4),
        },
    ),
    "exaone_moe": (
        t.ExaoneMoeConfig,
        t.ExaoneMoeForCausalLM,
        "num_experts",
        "num_experts_per_tok",
        {
            "first_k_dense_replace": (0, 1, 2),
            "num_shared_experts": (1, 2),
            "routed_scaling_factor": FACTOR,
            "norm_topk_prob": SWITCH,
            "sliding_window": (3, 7),
        },
    ),
    "minimax_m2": (t.MiniMaxM2Config, t.MiniMaxM2ForCausalLM, "num_local_experts", "num_experts_per_tok", {}),
}
OF_D = ("granitemoe", "granitemoeshared", "phimoe", "olmoe", "flex_olmo")
"""Those whose heads are always D / H wide."""


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        config, model, count, chosen, choices = EXPERTS[name]
        found = grouped(random) | perhaps(random, hidden_act=ACTIVATIONS, **choices)
        experts = random.randint(2, 6)
        found |= {count: experts} | ({chosen: random.randint(1, experts)} if chosen else {})
        if name in ("ernie4_5_moe", "dots1", "glm4_moe", "afmoe", "exaone_moe"):
            found["moe_intermediate_size"] = random.randint(5, 20)
        if name in ("dots1", "glm4_moe"):
            groups = random.choice((1, 2, 3))
            found |= {count: 2 * groups * random.randint(1, 2), "n_group": groups}
            found |= {"topk_group": random.randint(1, groups), chosen: random.randint(1, 2)}
            found["n_shared_experts"] = random.choice((1, 2))
        if "first_k_dense_replace" in found:
            found["first_k_dense_replace"] = min(found["first_k_dense_replace"], found["num_hidden_layers"])
        if name not in OF_D:
            found |= {"head_dim": 8} | head_width(random)
        if name == "phimoe":  # The reference has no rotation for it that is slowed but by two gains.
            return Draw(name, config(**found), model)
        return Draw(name, config(**with_rope(random, found, partial=name in ("minimax_m2", "glm4_moe"))), model)

    draw.__name__ = name
    return draw


FAMILIES = tuple(drawing(name) for name in EXPERTS)
