"""Decoders since Llama that are drawn last in `variants.py`, and those that are another by name or by the names of
their parts, for which the reference has no class: drawn as that other, and written as their makers write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random  # noqa: TC003
from typing import Any

import golden_decoders
import golden_masking
import transformers as t
import variant_latent
import variant_settings
from variant_draw import (
    ACTIVATIONS,
    BASES,
    EPSILONS,
    Draw,
    Settings,
    grouped,
    head_width,
    layer_types,
    perhaps,
    with_rope,
)
from variant_later import BIASES, FACTOR, SQUARED, SWITCH

from tests.model.renamed import as_exaone, as_internlm2

GROWN: dict[str, tuple[Any, Any, dict[str, tuple[Any, ...]]]] = {
    "apertus": (t.ApertusConfig, t.ApertusForCausalLM, {"attention_bias": SWITCH}),
    "jais2": (t.Jais2Config, t.Jais2ForCausalLM, {**BIASES, **SQUARED, "layer_norm_eps": EPSILONS}),
    "hyperclovax": (
        t.HyperCLOVAXConfig,
        t.HyperCLOVAXForCausalLM,
        {
            **BIASES,
            **dict.fromkeys(("embedding_multiplier", "residual_multiplier", "logits_scaling"), FACTOR),
            "attention_multiplier": (None, *FACTOR),
            "use_post_norm": SWITCH,
        },
    ),
    "helium": (t.HeliumConfig, t.HeliumForCausalLM, BIASES),
    "ministral": (t.MinistralConfig, t.MinistralForCausalLM, {"sliding_window": (None, 3, 7)}),
    "olmo3": (t.Olmo3Config, t.Olmo3ForCausalLM, {"attention_bias": SWITCH, "sliding_window": (3, 7)}),
}
OF_D = ("apertus", "olmo3", "helium")
"""Those whose heads are always D / H wide (Helium's reference ignores another width of the map after them)."""


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        config, model, choices = GROWN[name]
        found = grouped(random, (1, 3)) | perhaps(random, hidden_act=ACTIVATIONS) | perhaps(random, **choices)
        if name in ("apertus",):
            found["hidden_act"] = "xielu"
        if name == "jais2":
            del found["rms_norm_eps"]
        if name not in OF_D:
            found |= head_width(random)
        if name == "helium":
            found["head_dim"] = found["hidden_size"] // found["num_attention_heads"]
        if "sliding_window" in choices:
            found |= layer_types(random, found["num_hidden_layers"])
            if "sliding_attention" in found.get("layer_types", ()) and found.get("sliding_window", 1) is None:
                del found["sliding_window"]
        found = with_rope(random, found)
        if name == "olmo3" and "rope_parameters" in found:  # Whose layers with a window never slow their rotation.
            local = {"rope_type": "default", "rope_theta": random.choice((*BASES, 500_000.0, 500_000.0))}
            found["rope_parameters"] = {"full_attention": found["rope_parameters"], "sliding_attention": local}
        return Draw(name, config(**found), model)

    draw.__name__ = name
    return draw


def solar_open(random: Random) -> Draw:
    found, groups = grouped(random, (1, 2)) | {"head_dim": random.choice((4, 8))}, random.choice((1, 2, 3))
    del found["intermediate_size"]
    found |= {"n_routed_experts": 2 * groups * random.randint(1, 2), "n_group": groups, "moe_intermediate_size": 7}
    found |= {"topk_group": random.randint(1, groups), "num_experts_per_tok": random.randint(1, 2)}
    found |= perhaps(random, attention_bias=SWITCH, norm_topk_prob=SWITCH, routed_scaling_factor=FACTOR)
    found |= perhaps(random, n_shared_experts=(1, 2), hidden_act=ACTIVATIONS)
    return Draw("solar_open", t.SolarOpenConfig(**with_rope(random, found)), t.SolarOpenForCausalLM)


def ministral3(random: Random) -> Draw:
    found = grouped(random, (1, 2)) | head_width(random) | perhaps(random, hidden_act=ACTIVATIONS)
    found |= perhaps(random, sliding_window=(None, 3, 9))
    rope: Settings = {"rope_type": "yarn", "rope_theta": 500.0, "factor": random.choice((2.0, 16.0))}
    rope |= {"original_max_position_embeddings": random.choice((4, 8)), "llama_4_scaling_beta": random.choice((0, 0.3))}
    rope |= perhaps(random, beta_fast=(32.0, 2.0), beta_slow=(1.0, 0.5), mscale=(1.0, 0.7), mscale_all_dim=(1.0, 0.5))
    return Draw("ministral3", t.Ministral3Config(**found | {"rope_parameters": rope}), t.Ministral3ForCausalLM)


def qwen2_moe(random: Random) -> Draw:
    found, experts = grouped(random, (1, 3)) | perhaps(random, hidden_act=ACTIVATIONS), random.randint(2, 6)
    found |= {"num_experts": experts, "num_experts_per_tok": random.randint(1, experts)}
    found |= {"moe_intermediate_size": random.randint(5, 20), "shared_expert_intermediate_size": random.randint(5, 20)}
    found |= perhaps(random, norm_topk_prob=SWITCH, qkv_bias=SWITCH, mlp_only_layers=([], [0], [1]))
    found |= perhaps(random, decoder_sparse_step=(1, 2), use_sliding_window=SWITCH, sliding_window=(3, 7))
    found |= perhaps(random, max_window_layers=(0, 1, 28))
    return Draw("qwen2_moe", t.Qwen2MoeConfig(**with_rope(random, found)), t.Qwen2MoeForCausalLM)


def named(of: Callable[[Random], Draw], name: str, change: Any = None) -> Callable[[Random], Draw]:
    """A kind that is `of`'s by another name, and perhaps by other names of its parts."""

    def draw(random: Random) -> Draw:
        def changed(config: Settings, arrays: Any) -> tuple[Settings, Any]:
            config, arrays = change(config, arrays) if change else (config, arrays)
            return {**config, "model_type": name}, arrays

        return replace(of(random), family=name, change=changed)

    draw.__name__ = name
    return draw


def without_biases(random: Random) -> Draw:
    draw = variant_settings.llama(random)
    draw.config.attention_bias = draw.config.mlp_bias = False
    draw.config.head_dim = draw.config.hidden_size // draw.config.num_attention_heads
    return draw


BIAS_KEYS = ("attention_bias", "mlp_bias")


def exaone(config: Settings, arrays: Any) -> tuple[Settings, Any]:
    config, arrays = as_exaone(config, arrays)
    return {key: value for key, value in config.items() if key not in BIAS_KEYS}, arrays


def internlm2(config: Settings, arrays: Any) -> tuple[Settings, Any]:
    config, arrays = as_internlm2(config, arrays)
    return {key: value for key, value in config.items() if key not in BIAS_KEYS}, arrays


def minicpm(random: Random) -> Draw:
    """A Granite whose multipliers are said by other numbers."""
    found = grouped(random, (1, 3)) | perhaps(random, hidden_act=ACTIVATIONS)
    depth, base = random.choice((1.0, 1.4)), random.choice((4, 256))
    width, heads, layers = found["hidden_size"], found["num_attention_heads"], found["num_hidden_layers"]
    scale = random.choice((1, 12))
    config = t.GraniteConfig(
        **found,
        embedding_multiplier=scale,
        residual_multiplier=depth / layers**0.5,
        attention_multiplier=(width // heads) ** -0.5,
        logits_scaling=width / base,
    )

    def change(config: Settings, arrays: Any) -> tuple[Settings, Any]:
        config = {key: value for key, value in config.items() if not key.endswith(("_multiplier", "logits_scaling"))}
        config = {key: value for key, value in config.items() if key not in BIAS_KEYS}
        return {
            **config,
            "model_type": "minicpm",
            "scale_emb": scale,
            "scale_depth": depth,
            "dim_model_base": base,
        }, arrays

    return Draw("minicpm", config, t.GraniteForCausalLM, change=change)


def deepseek(random: Random) -> Draw:
    found, experts = grouped(random, (1, 3)), random.randint(2, 6)
    found |= {"n_routed_experts": experts, "num_experts": experts, "num_experts_per_tok": random.randint(1, experts)}
    found |= {"n_shared_experts": random.choice((1, 2)), "first_k_dense_replace": random.choice((0, 1))}
    found |= {"topk_method": "greedy", "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0}
    found |= {"moe_intermediate_size": random.randint(3, 12), "scoring_func": "softmax", "norm_topk_prob": False}
    found |= perhaps(random, hidden_act=ACTIVATIONS, attention_bias=SWITCH)

    def change(config: Settings, arrays: Any) -> tuple[Settings, Any]:
        return golden_decoders.deepseek(config), arrays

    config = t.LlamaConfig(**with_rope(random, found))
    return Draw("deepseek", config, golden_decoders.DeepseekForCausalLM, change=change)


def filling(name: str) -> Callable[[Random], Draw]:
    """The decoders that fill masks, as `golden_masking.py` has them."""
    family = next(one for one in golden_masking.FAMILIES if one.name == name)

    def draw(random: Random) -> Draw:
        found = grouped(random, (1, 2)) | {"is_causal": False, "vocab_size": 47, "tie_word_embeddings": False}
        found |= {"rope_parameters": golden_masking.THETA}
        config = (t.Qwen2Config if name == "dream" else t.LlamaConfig)(**found)

        def change(written: Settings, arrays: Any) -> tuple[Settings, Any]:
            assert family.published is not None
            return family.published(written), {family.renamed(key): array for key, array in arrays.items()}

        return Draw(name, config, family.model, change=change)

    draw.__name__ = name
    return draw


V3 = next(make for make in variant_latent.FAMILIES if make.__name__ == "deepseek_v3")
FAMILIES = (
    *(drawing(name) for name in GROWN),
    solar_open,
    ministral3,
    qwen2_moe,
    named(without_biases, "exaone", exaone),
    named(without_biases, "internlm2", internlm2),
    named(variant_settings.llama, "internlm3"),
    named(variant_settings.llama, "iquestcoder"),
    named(V3, "kimi_k2"),
    minicpm,
    deepseek,
    filling("dream"),
    filling("llada"),
)
