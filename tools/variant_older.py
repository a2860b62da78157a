"""The decoders before Llama in `variants.py`, whose keys have names of their own."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
from variant_draw import ACTIVATIONS, EPSILONS, Draw, Settings, perhaps, rope
from variant_later import SELDOM, SWITCH

ENDS = {"bos_token_id": 1, "eos_token_id": 2}


def of_head(random: Random, widths: tuple[int, ...] = (2, 4, 6, 8)) -> tuple[int, int]:
    """How many heads, and the width of one."""
    return random.choice((1, 2, 3, 4, 6)), random.choice(widths)


def falcon(random: Random) -> Draw:
    heads, width = of_head(random)
    found: Settings = {"vocab_size": random.randint(40, 140), "hidden_size": heads * width, **ENDS}
    found |= {"num_hidden_layers": random.randint(1, 2), "num_attention_heads": heads, "max_position_embeddings": 64}
    found |= perhaps(random, ffn_hidden_size=(17, 30), bias=SWITCH, activation=ACTIVATIONS, tie_word_embeddings=SWITCH)
    found |= perhaps(random, layer_norm_epsilon=EPSILONS)
    kind = random.choice(("7b", "40b", "11b", "1b", "sequential"))
    if kind in ("40b", "11b"):
        keys = random.choice([number for number in range(1, heads + 1) if heads % number == 0])
        found |= {"new_decoder_architecture": True, "num_kv_heads": keys}
        found |= {"num_ln_in_parallel_attn": 1} if kind == "11b" else perhaps(random, num_ln_in_parallel_attn=(2, None))
    elif kind != "7b":  # The 1B of RefinedWeb has biases, heads of their own and a penalty on distances.
        found |= {"multi_query": random.choice(SWITCH), "parallel_attn": kind == "1b", "alibi": random.random() < 0.4}
    if not found.get("alibi") and random.random() < 0.6:
        found["rope_parameters"] = rope(random, width, 64)
    return Draw("falcon", t.FalconConfig(**found), t.FalconForCausalLM, prefix="transformer.")


OLDEST = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "num_kv_heads": "n_head_kv"}


def refined_web(random: Random) -> Draw:
    """As its makers wrote the first Falcons."""
    draw = falcon(random)
    while draw.config.rope_parameters["rope_type"] != "default" or draw.config.num_ln_in_parallel_attn == 1:
        draw = falcon(random)
    kind = "RefinedWeb" if draw.config.new_decoder_architecture else "RefinedWebModel"

    def change(config: dict[str, Any], arrays: Any) -> tuple[dict[str, Any], Any]:
        older = {OLDEST.get(key, key): value for key, value in config.items()}
        if kind == "RefinedWeb":
            older.pop("new_decoder_architecture", None)
        return {**older, "model_type": kind}, arrays

    return Draw("RefinedWeb", draw.config, draw.model, change=change)


def gptj(random: Random, name: str = "gptj") -> Draw:
    heads, width = of_head(random, (4, 8) if name == "codegen" else (2, 4, 6, 10))
    found: Settings = {"vocab_size": random.randint(40, 140), "n_embd": heads * width, "n_head": heads, **ENDS}
    found |= {"n_positions": 64, "n_layer": random.randint(1, 2), "rotary_dim": random.choice((2, 4, width))}
    found["rotary_dim"] = min(found["rotary_dim"], width)
    found |= perhaps(random, n_inner=(None, 21, 50), activation_function=ACTIVATIONS, layer_norm_epsilon=EPSILONS)
    found |= perhaps(random, tie_word_embeddings=SWITCH, n_ctx=(64,))
    config, model = (t.GPTJConfig, t.GPTJForCausalLM) if name == "gptj" else (t.CodeGenConfig, t.CodeGenForCausalLM)
    return Draw(name, config(**found), model, prefix="transformer.")


def codegen(random: Random) -> Draw:
    return gptj(random, "codegen")


def gpt_bigcode(random: Random) -> Draw:
    heads, width = of_head(random, (3, 4, 8))
    found: Settings = {"vocab_size": random.randint(40, 140), "n_embd": heads * width, "n_head": heads, **ENDS}
    found |= {"n_positions": 64, "n_layer": random.randint(1, 2)}
    found |= perhaps(random, n_inner=(None, 21, 50), activation_function=ACTIVATIONS, layer_norm_epsilon=EPSILONS)
    found |= perhaps(random, multi_query=SWITCH, scale_attn_weights=SWITCH, tie_word_embeddings=SWITCH)
    found |= perhaps(random, attention_softmax_in_fp32=SWITCH, scale_attention_softmax_in_fp32=SWITCH)
    return Draw("gpt_bigcode", t.GPTBigCodeConfig(**found), t.GPTBigCodeForCausalLM, prefix="transformer.")


def gpt_neo(random: Random) -> Draw:
    heads, width = of_head(random, (2, 3, 8))
    layers = random.choice((1, 2, 4))
    found: Settings = {"vocab_size": random.randint(40, 140), "hidden_size": heads * width, "num_heads": heads, **ENDS}
    kinds = random.choice(([["global"], layers], [["local"], layers], [["global", "local"], layers // 2]))
    if layers == 1:
        kinds = [[random.choice(("global", "local"))], 1]
    found |= {"num_layers": layers, "attention_types": [kinds], "max_position_embeddings": 64}
    found |= perhaps(random, window_size=(3, 9, 256), intermediate_size=(None, 17, 40), activation_function=ACTIVATIONS)
    found |= perhaps(random, layer_norm_epsilon=EPSILONS, tie_word_embeddings=SWITCH)
    return Draw("gpt_neo", t.GPTNeoConfig(**found), t.GPTNeoForCausalLM, prefix="transformer.")


def mpt(random: Random) -> Draw:
    heads, width = of_head(random, (3, 4, 8))
    found: Settings = {"vocab_size": random.randint(40, 140), "d_model": heads * width, "n_heads": heads}
    found |= {"n_layers": random.randint(1, 2), "max_seq_len": 64} | perhaps(random, layer_norm_epsilon=EPSILONS)
    found |= perhaps(random, tie_word_embeddings=SWITCH, expansion_ratio=(4,), no_bias=(True,))
    attention = perhaps(random, clip_qkv=(None, 0.7, 6.0), softmax_scale=(None, 0.3), alibi=(True,))
    attention |= perhaps(random, alibi_bias_max=(8,), attn_impl=("torch", "triton"), qk_ln=(False,))
    if attention or random.random() < 0.5:
        found["attn_config"] = attention
    return Draw("mpt", t.MptConfig(**found), t.MptForCausalLM, prefix="transformer.")


def bloom(random: Random) -> Draw:
    heads, width = of_head(random, (3, 4, 8))
    found: Settings = {"vocab_size": random.randint(40, 140), "hidden_size": heads * width, "n_head": heads, **ENDS}
    found |= {"n_layer": random.randint(1, 2)} | perhaps(random, layer_norm_epsilon=EPSILONS)
    found |= perhaps(random, tie_word_embeddings=SWITCH, apply_residual_connection_post_layernorm=SELDOM)
    found |= perhaps(random, slow_but_exact=SWITCH, pretraining_tp=(1, 4))
    return Draw("bloom", t.BloomConfig(**found), t.BloomForCausalLM, prefix="transformer.")


def opt(random: Random) -> Draw:
    heads, width = of_head(random, (3, 4, 8))
    found: Settings = {"vocab_size": random.randint(40, 140), "hidden_size": heads * width, "ffn_dim": 30}
    found |= {"num_hidden_layers": random.randint(1, 2), "num_attention_heads": heads, "max_position_embeddings": 64}
    found |= perhaps(random, activation_function=ACTIVATIONS, do_layer_norm_before=SWITCH, enable_bias=SWITCH)
    found |= perhaps(random, tie_word_embeddings=SWITCH, word_embed_proj_dim=(heads * width, 5))
    found |= perhaps(random, _remove_final_layer_norm=SELDOM, layer_norm_elementwise_affine=(True,))
    return Draw("opt", t.OPTConfig(**found), t.OPTForCausalLM)


def biogpt(random: Random) -> Draw:
    heads, width = of_head(random, (3, 4, 8))
    found: Settings = {"vocab_size": random.randint(40, 140), "hidden_size": heads * width, "intermediate_size": 30}
    found |= {"num_hidden_layers": random.randint(1, 2), "num_attention_heads": heads, "max_position_embeddings": 64}
    found |= perhaps(random, hidden_act=ACTIVATIONS, layer_norm_eps=EPSILONS, scale_embedding=SWITCH)
    found |= perhaps(random, tie_word_embeddings=SWITCH)
    return Draw("biogpt", t.BioGptConfig(**found), t.BioGptForCausalLM, prefix="biogpt.")


def xglm(random: Random) -> Draw:
    heads, width = of_head(random, (4, 8))
    found: Settings = {"vocab_size": random.randint(40, 140), "d_model": heads * width, "ffn_dim": 30, **ENDS}
    found |= {"num_layers": random.randint(1, 2), "attention_heads": heads, "max_position_embeddings": 64}
    found |= perhaps(random, activation_function=ACTIVATIONS, scale_embedding=SWITCH, tie_word_embeddings=SWITCH)
    return Draw("xglm", t.XGLMConfig(**found), t.XGLMForCausalLM)


FAMILIES: tuple[Callable[[Random], Draw], ...] = (
    *(falcon, refined_web, gptj, codegen, gpt_bigcode, gpt_neo, mpt, bloom, opt, biogpt, xglm),
)
