"""The decoders with a state in `variants.py`: the class of each, and what its configurations hold."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
from golden_rwkv import Rwkv7Config, RWKV7ForCausalLM
from variant_draw import EPSILONS, Draw, grouped, perhaps, with_rope

SWITCH = (True, False)


def rwkv7(random: Random) -> Draw:
    """As the oracle of `golden_rwkv.py` computes it."""
    head, heads = random.choice((2, 4, 6)), random.randint(1, 4)
    found: dict[str, Any] = {"vocab_size": random.choice((67, 131)), "num_hidden_layers": random.randint(1, 4)}
    found |= {"hidden_size": head * heads, "head_dim": head, "num_heads": heads, "hidden_act": "sqrelu", "attn": None}
    found |= {f"{part}_low_rank_dim": random.randint(1, 6) for part in ("decay", "a", "v", "gate")}
    found |= {"intermediate_size": random.choice((8, 15, 32)), "norm_eps": random.choice((1e-5, 1e-3))}
    found |= {"norm_first": random.random() < 0.7, "norm_bias": random.random() < 0.7, "tie_word_embeddings": False}
    return Draw("rwkv7", Rwkv7Config(**found), RWKV7ForCausalLM)


LIMITS = ((0.0, float("inf")), (0.1, 1.0))


def pure(name: str, config: Any, model: Any, more: Callable[[Random], dict[str, Any]]) -> Callable[[Random], Draw]:
    """A model without attention."""

    def draw(random: Random) -> Draw:
        found: dict[str, Any] = {"vocab_size": random.choice((67, 131)), "num_hidden_layers": random.randint(1, 3)}
        found |= {"hidden_size": random.choice((12, 18, 24)), "expand": 2, "conv_kernel": random.choice((2, 3, 4))}
        found |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "state_size": random.choice((1, 4, 7))}
        found |= perhaps(random, use_bias=SWITCH, use_conv_bias=SWITCH, layer_norm_epsilon=EPSILONS)
        return Draw(name, config(**found | more(random)), model, prefix="backbone.")

    draw.__name__ = name
    return draw


def mamba2_sizes(random: Random) -> dict[str, Any]:
    heads = random.choice((2, 4))
    found = {"hidden_size": 12, "num_heads": heads, "head_dim": 24 // heads, "n_groups": random.choice((1, 2))}
    return found | {"chunk_size": random.choice((3, 8)), "time_step_limit": random.choice(LIMITS)}


def beside(
    name: str, config: Any, model: Any, more: Callable[[Random, int], dict[str, Any]]
) -> Callable[[Random], Draw]:
    """A model some of whose layers have attention."""

    def draw(random: Random) -> Draw:
        found = grouped(random)
        found |= more(random, found["num_hidden_layers"])
        if name == "bamba":  # Half of each head is turned, in pairs.
            found["hidden_size"] = 8 * found["num_attention_heads"]
        if name.startswith("lfm2"):  # Whose norms have another key.
            del found["rms_norm_eps"]
        return Draw(name, config(**with_rope(random, found)), model)

    draw.__name__ = name
    return draw


def kinds(random: Random, layers: int, other: str) -> list[str]:
    return [random.choice((other, "full_attention")) for _ in range(layers)]


def lfm2(random: Random, layers: int) -> dict[str, Any]:
    found = perhaps(
        random, norm_eps=EPSILONS, conv_bias=SWITCH, conv_L_cache=(2, 3, 5), block_auto_adjust_ff_dim=SWITCH
    )
    found |= perhaps(random, block_ffn_dim_multiplier=(0.7, 1.3)) | {"block_multiple_of": random.choice((8, 10))}
    return found | {"layer_types": kinds(random, layers, "conv")}


def mamba_beside(random: Random) -> dict[str, Any]:
    found = {"mamba_n_heads": 2, "mamba_n_groups": random.choice((1, 2)), "mamba_d_state": random.choice((1, 5))}
    found |= perhaps(random, mamba_conv_bias=SWITCH, mamba_proj_bias=SWITCH, time_step_limit=LIMITS)
    return found | perhaps(random, attention_bias=SWITCH, mamba_d_conv=(2, 4), mamba_chunk_size=(3, 8))


def granite(random: Random, layers: int) -> dict[str, Any]:
    factors = ("attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling")
    found = mamba_beside(random) | perhaps(random, **dict.fromkeys(factors, (0.3, 1.0, 2.5)))
    found |= perhaps(random, position_embedding_type=("rope", None)) | {"shared_intermediate_size": 14}
    experts = random.choice((0, 3))
    found |= {"num_local_experts": experts, "num_experts_per_tok": random.choice((1, 2))}
    return found | {"layer_types": kinds(random, layers, "linear_attention")}


def bamba(random: Random, layers: int) -> dict[str, Any]:
    attending = [index for index in range(layers) if random.random() < 0.5]
    return mamba_beside(random) | perhaps(random, mlp_bias=SWITCH) | {"attn_layer_indices": attending}


def delta(random: Random, layers: int) -> dict[str, Any]:
    groups = random.choice((1, 2))
    found = {"linear_num_key_heads": groups, "linear_num_value_heads": groups * random.choice((1, 2)), "head_dim": 8}
    found |= {"linear_key_head_dim": 5, "linear_value_head_dim": 3} | perhaps(random, attention_bias=SWITCH)
    found |= perhaps(random, linear_conv_kernel_dim=(2, 3))
    return found | {"layer_types": kinds(random, layers, "linear_attention")}


def delta_mixture(random: Random, layers: int) -> dict[str, Any]:
    found = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 14, "decoder_sparse_step": 1}
    found |= {"shared_expert_intermediate_size": 10} | perhaps(random, norm_topk_prob=SWITCH, decoder_sparse_step=(2,))
    return found | delta(random, layers)


def delta_experts(random: Random, layers: int) -> dict[str, Any]:
    found = {"num_experts": 4, "num_experts_per_tok": random.choice((1, 3)), "moe_intermediate_size": 14}
    return found | {"shared_expert_intermediate_size": 10} | delta(random, layers)


def lfm2_moe(random: Random, layers: int) -> dict[str, Any]:
    found = perhaps(random, norm_eps=EPSILONS, conv_bias=SWITCH, conv_L_cache=(2, 3, 5), use_expert_bias=SWITCH)
    found |= perhaps(random, norm_topk_prob=SWITCH, routed_scaling_factor=(0.7, 2.5))
    found |= {"num_experts": 4, "num_experts_per_tok": random.choice((1, 3)), "moe_intermediate_size": 14}
    return found | {"num_dense_layers": random.randint(0, layers), "layer_types": kinds(random, layers, "conv")}


def falcon_h1(random: Random, layers: int) -> dict[str, Any]:
    found = mamba_beside(random) | perhaps(random, mlp_bias=SWITCH, projectors_bias=SWITCH, mamba_rms_norm=SWITCH)
    found |= {"mamba_d_head": random.choice(("auto", 6)), "mamba_d_ssm": 12}
    names = ("embedding", "lm_head", "key", "attention_in", "attention_out", "ssm_in", "ssm_out")
    found |= perhaps(random, **{f"{name}_multiplier": (0.5, 1.25) for name in names})
    found |= perhaps(random, mlp_multipliers=([0.7, 1.3],), ssm_multipliers=([1.1, 0.7, 1.4, 0.8, 1.3],))
    return found | perhaps(random, head_dim=(4, 6), mamba_norm_before_gate=SWITCH)


def jamba(random: Random, layers: int) -> dict[str, Any]:
    period, other = random.choice((1, 2, 3)), random.choice((1, 2))
    found = {"attn_layer_period": period, "attn_layer_offset": random.randrange(period), "mamba_d_state": 5}
    found |= {"expert_layer_period": other, "expert_layer_offset": random.randrange(other)}
    experts = random.choice((1, 2, 4))
    found |= {"num_experts": experts, "num_experts_per_tok": random.choice((1, 2)) if experts > 1 else 1}
    found |= perhaps(random, mamba_dt_rank=(3, "auto"), mamba_conv_bias=SWITCH, mamba_proj_bias=SWITCH)
    return found | perhaps(random, mamba_d_conv=(2, 4), mamba_expand=(1, 2), hidden_act=("silu",))


def nemotron_h(random: Random) -> Draw:
    found = grouped(random)
    del found["num_hidden_layers"], found["rms_norm_eps"]
    every = ["linear_attention", "full_attention", "mlp", "moe"][: random.choice((3, 4))]
    groups = random.choice((1, 2))
    found |= {"layers_block_type": [random.choice(every) for _ in range(random.randint(1, 4))], "head_dim": 6}
    found |= {"mamba_num_heads": 2 * groups, "mamba_head_dim": 3, "n_groups": groups, "ssm_state_size": 5}
    found |= {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 7}
    found |= {"moe_shared_expert_intermediate_size": 9}
    found |= perhaps(random, n_group=(2,), topk_group=(1,), routed_scaling_factor=(0.7, 2.5), norm_topk_prob=SWITCH)
    found |= perhaps(random, moe_latent_size=(None, 5), layer_norm_epsilon=EPSILONS, use_conv_bias=SWITCH)
    found |= perhaps(random, attention_bias=SWITCH, mlp_bias=SWITCH, use_bias=SWITCH, time_step_min=(0.001, 0.4))
    found |= perhaps(random, conv_kernel=(2, 4), chunk_size=(3, 128), time_step_limit=LIMITS)
    return Draw("nemotron_h", t.NemotronHConfig(**found), t.NemotronHForCausalLM)


def falcon_mamba(random: Random) -> dict[str, Any]:
    return perhaps(random, time_step_rank=(1, 3), mixer_rms_eps=EPSILONS)


FAMILIES = (
    rwkv7,
    nemotron_h,
    beside("falcon_h1", t.FalconH1Config, t.FalconH1ForCausalLM, falcon_h1),
    beside("jamba", t.JambaConfig, t.JambaForCausalLM, jamba),
    pure("falcon_mamba", t.FalconMambaConfig, t.FalconMambaForCausalLM, falcon_mamba),
    pure("mamba", t.MambaConfig, t.MambaForCausalLM, lambda random: perhaps(random, time_step_rank=(1, 3))),
    pure("mamba2", t.Mamba2Config, t.Mamba2ForCausalLM, mamba2_sizes),
    beside("lfm2", t.Lfm2Config, t.Lfm2ForCausalLM, lfm2),
    beside("lfm2_moe", t.Lfm2MoeConfig, t.Lfm2MoeForCausalLM, lfm2_moe),
    beside("qwen3_5_moe_text", t.Qwen3_5MoeTextConfig, t.Qwen3_5MoeForCausalLM, delta_experts),
    beside("granitemoehybrid", t.GraniteMoeHybridConfig, t.GraniteMoeHybridForCausalLM, granite),
    beside("bamba", t.BambaConfig, t.BambaForCausalLM, bamba),
    beside("qwen3_5_text", t.Qwen3_5TextConfig, t.Qwen3_5ForCausalLM, delta),
    beside("qwen3_next", t.Qwen3NextConfig, t.Qwen3NextForCausalLM, delta_mixture),
)
