"""The decoders with latent attention in `variants.py`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
from variant_draw import ACTIVATIONS, Draw, grouped, perhaps, rope
from variant_later import FACTOR, SWITCH

LATENT: dict[str, tuple[Any, Any, dict[str, tuple[Any, ...]]]] = {
    "youtu": (t.YoutuConfig, t.YoutuForCausalLM, {"rope_interleave": SWITCH}),
    "minicpm3": (
        t.MiniCPM3Config,
        t.MiniCPM3ForCausalLM,
        {"mlp_bias": SWITCH, "scale_emb": (1, 3.5), "scale_depth": (None, 2.0), "dim_model_base": (None, 8)},
    ),
    "deepseek_v3": (t.DeepseekV3Config, t.DeepseekV3ForCausalLM, {"rope_interleave": SWITCH, "norm_topk_prob": SWITCH}),
    "deepseek_v2": (t.DeepseekV2Config, t.DeepseekV2ForCausalLM, {}),
    "glm4_moe_lite": (t.Glm4MoeLiteConfig, t.Glm4MoeLiteForCausalLM, {"rope_interleave": SWITCH}),
}


def mixture(random: Random, name: str, layers: int) -> dict[str, Any]:
    groups, each = random.choice((1, 2, 3)), random.choice((2, 3))
    chosen_groups, plain = random.randint(1, groups), random.randint(0, layers + 1)
    found: dict[str, Any] = {
        "n_routed_experts": groups * each,
        "n_group": groups,
        "topk_group": chosen_groups,
        "num_experts_per_tok": random.randint(1, chosen_groups * each),
        "moe_intermediate_size": random.choice((3, 8)),
        "n_shared_experts": random.choice((1, 2)),
        "routed_scaling_factor": random.choice(FACTOR),
        "first_k_dense_replace": plain,
    }
    if name == "deepseek_v2":
        found["topk_method"] = random.choice(("greedy", "group_limited_greedy"))
        found |= {"qk_nope_head_dim": random.choice((2, 8)), "kv_lora_rank": random.choice((2, 10))}
    if name == "glm4_moe_lite":
        plain = min(plain, layers)
        found["mlp_layer_types"] = ["dense"] * plain + ["sparse"] * (layers - plain)
        del found["first_k_dense_replace"]
    return found


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        config, model, choices = LATENT[name]
        found, turned = grouped(random), random.choice((2, 4, 6, 8))
        found["num_key_value_heads"] = found["num_attention_heads"]
        found |= {"qk_nope_head_dim": random.choice((1, 3, 8)), "qk_rope_head_dim": turned}
        found |= {"v_head_dim": random.choice((1, 5, 8)), "kv_lora_rank": random.choice((1, 4, 9))}
        found["q_lora_rank"] = random.choice((None, 1, 5, 12))
        if name not in ("youtu", "minicpm3"):
            found |= mixture(random, name, found["num_hidden_layers"])
        found |= perhaps(random, hidden_act=ACTIVATIONS, attention_bias=SWITCH, **choices)
        if name == "youtu":  # The reference sets this row of the embedding to nought after it has read it.
            found["pad_token_id"] = None
        if random.random() < 0.8:
            found["rope_parameters"] = rope(random, turned, found["max_position_embeddings"])
        if found.get("rope_parameters", {}).get("rope_type") == "yarn" and random.random() < 0.5:
            found["rope_parameters"] |= {"mscale": random.choice(FACTOR), "mscale_all_dim": random.choice(FACTOR)}
        return Draw(name, config(**found), model)

    draw.__name__ = name
    return draw


FAMILIES = tuple(drawing(name) for name in LATENT)
