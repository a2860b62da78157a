"""The later decoders in `variants.py`: the class of each, and what its configurations hold beside what all hold."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
from variant_draw import ACTIVATIONS, EPSILONS, Draw, grouped, head_width, layer_types, perhaps, with_rope

SWITCH = (True, False)
SELDOM = (False, False, False, False, True)
"""What no published model has, and is refused."""
BIASES = {"attention_bias": SWITCH, "mlp_bias": SWITCH}
SQUARED = {"hidden_act": ("relu2", "silu", "gelu")}
FACTOR = (0.3, 1.0, 2.5)

LATER: dict[str, tuple[Any, Any, dict[str, tuple[Any, ...]]]] = {
    "olmo": (t.OlmoConfig, t.OlmoForCausalLM, {"clip_qkv": (None, 0.7), "attention_bias": SWITCH}),
    "exaone4": (t.Exaone4Config, t.Exaone4ForCausalLM, {"sliding_window": (3, 7), "sliding_window_pattern": (2, 3, 4)}),
    "seed_oss": (t.SeedOssConfig, t.SeedOssForCausalLM, {**BIASES, "attention_out_bias": SWITCH}),
    "cwm": (t.CwmConfig, t.CwmForCausalLM, {"mlp_bias": SWITCH, "sliding_window": (3, 7)}),
    "granite": (
        t.GraniteConfig,
        t.GraniteForCausalLM,
        {
            **BIASES,
            "attention_multiplier": FACTOR,
            "embedding_multiplier": FACTOR,
            "residual_multiplier": FACTOR,
            "logits_scaling": FACTOR,
        },
    ),
    "cohere": (
        t.CohereConfig,
        t.CohereForCausalLM,
        {"attention_bias": SWITCH, "use_qk_norm": SWITCH, "logit_scale": FACTOR},
    ),
    "cohere2": (
        t.Cohere2Config,
        t.Cohere2ForCausalLM,
        {
            "attention_bias": SWITCH,
            "sliding_window": (3, 7),
            "sliding_window_pattern": (2, 3, 4),
            "logit_scale": FACTOR,
        },
    ),
    "glm": (t.GlmConfig, t.GlmForCausalLM, {"attention_bias": SWITCH}),
    "glm4": (t.Glm4Config, t.Glm4ForCausalLM, {"attention_bias": SWITCH}),
    "ernie4_5": (t.Ernie4_5Config, t.Ernie4_5ForCausalLM, {"use_bias": SWITCH}),
    "hunyuan_v1_dense": (t.HunYuanDenseV1Config, t.HunYuanDenseV1ForCausalLM, {"attention_bias": SWITCH}),
    "arcee": (t.ArceeConfig, t.ArceeForCausalLM, {**BIASES, **SQUARED}),
    "nemotron": (t.NemotronConfig, t.NemotronForCausalLM, {**BIASES, **SQUARED}),
    "stablelm": (
        t.StableLmConfig,
        t.StableLmForCausalLM,
        {"use_qkv_bias": SWITCH, "qk_layernorm": SWITCH, "use_parallel_residual": SWITCH},
    ),
    "starcoder2": (t.Starcoder2Config, t.Starcoder2ForCausalLM, {"use_bias": SWITCH, "sliding_window": (None, 3, 9)}),
    "phi": (t.PhiConfig, t.PhiForCausalLM, {"qk_layernorm": SWITCH}),
    "persimmon": (t.PersimmonConfig, t.PersimmonForCausalLM, {"qk_layernorm": SWITCH, **SQUARED}),
}
LAYER_NORMS = {
    "cohere": "layer_norm_eps",
    "cohere2": "layer_norm_eps",
    "nemotron": "norm_eps",
    "starcoder2": "norm_epsilon",
}
LAYER_NORMS |= dict.fromkeys(("stablelm", "phi", "persimmon"), "layer_norm_eps")
PARTIAL = ("glm", "glm4", "nemotron", "stablelm", "phi", "persimmon")
OF_D = ("olmo", "exaone4", "granite", "cohere", "cohere2", "stablelm", "starcoder2", "phi", "helium", "persimmon")
"""Those whose heads are always D / H wide."""


def drawing(name: str) -> Callable[[Random], Draw]:
    def draw(random: Random) -> Draw:
        config, model, choices = LATER[name]
        found = grouped(random) | perhaps(random, hidden_act=ACTIVATIONS) | perhaps(random, **choices)
        if name in (*LAYER_NORMS, "olmo"):
            del found["rms_norm_eps"]
        if name in LAYER_NORMS:
            found[LAYER_NORMS[name]] = random.choice(EPSILONS)
        if name not in OF_D:
            found |= {"head_dim": random.choice((8, 16))} if name in PARTIAL else head_width(random)
        if name == "persimmon":
            del found["num_key_value_heads"]
        if name in PARTIAL and name in OF_D:  # Of which a quarter or a half is turned, in pairs.
            found["hidden_size"] = found["num_attention_heads"] * 8
        if "sliding_window" in choices and name != "starcoder2":
            found |= layer_types(random, found["num_hidden_layers"])
        return Draw(name, config(**with_rope(random, found, partial=name in PARTIAL)), model)

    draw.__name__ = name
    return draw


FAMILIES = tuple(drawing(name) for name in LATER)
