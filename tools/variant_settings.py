"""The families that were there first, in `variants.py`: a function each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random  # noqa: TC003
from typing import Any

import transformers as t
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
    sizes,
    with_rope,
)


def llama(random: Random) -> Draw:
    found = grouped(random) | head_width(random)
    found |= perhaps(random, hidden_act=ACTIVATIONS, attention_bias=(True, False), mlp_bias=(True, False))
    return Draw("llama", t.LlamaConfig(**with_rope(random, found)), t.LlamaForCausalLM)


def mistral(random: Random) -> Draw:
    found = grouped(random) | head_width(random) | perhaps(random, hidden_act=ACTIVATIONS, sliding_window=(None, 3, 7))
    return Draw("mistral", t.MistralConfig(**with_rope(random, found)), t.MistralForCausalLM)


def qwen2(random: Random) -> Draw:
    found = grouped(random) | perhaps(random, hidden_act=ACTIVATIONS, use_sliding_window=(True, False))
    found |= perhaps(random, sliding_window=(3, 7), max_window_layers=(0, 1, 2, 28))
    if random.random() < 0.3:
        found |= {"use_sliding_window": True, "sliding_window": 5} | layer_types(random, found["num_hidden_layers"])
    return Draw("qwen2", t.Qwen2Config(**with_rope(random, found)), t.Qwen2ForCausalLM)


def qwen3(random: Random) -> Draw:
    found = grouped(random) | head_width(random) | perhaps(random, hidden_act=ACTIVATIONS, attention_bias=(True, False))
    found |= perhaps(random, use_sliding_window=(True, False), sliding_window=(3, 7), max_window_layers=(0, 1, 2, 28))
    return Draw("qwen3", t.Qwen3Config(**with_rope(random, found)), t.Qwen3ForCausalLM)


def phi3(random: Random) -> Draw:
    found = grouped(random) | perhaps(random, hidden_act=ACTIVATIONS, sliding_window=(None, 3, 9))
    width = found["hidden_size"] // found["num_attention_heads"]
    if random.random() < 0.5:
        original, pairs = random.choice((8, 16)), width // 2
        found["original_max_position_embeddings"] = original
        found["rope_parameters"] = {
            "rope_type": "longrope",
            "rope_theta": random.choice(BASES),
            "short_factor": [1 + random.random() for _ in range(pairs)],
            "long_factor": [1 + 4 * random.random() for _ in range(pairs)],
            "original_max_position_embeddings": original,
        }
    elif width % 4 == 0 and random.random() < 0.5:
        found["rope_parameters"] = {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}
    return Draw("phi3", t.Phi3Config(**found), t.Phi3ForCausalLM)


def olmo2(random: Random) -> Draw:
    found = grouped(random) | perhaps(random, hidden_act=ACTIVATIONS, attention_bias=(True, False))
    return Draw("olmo2", t.Olmo2Config(**with_rope(random, found)), t.Olmo2ForCausalLM)


def smollm3(random: Random) -> Draw:
    found = grouped(random) | perhaps(random, hidden_act=ACTIVATIONS, attention_bias=(True, False))
    found |= perhaps(random, mlp_bias=(True, False), no_rope_layer_interval=(1, 2, 4), use_sliding_window=(True, False))
    found |= perhaps(random, sliding_window=(3, 7))
    if random.random() < 0.3:
        found["no_rope_layers"] = [random.randint(0, 1) for _ in range(found["num_hidden_layers"])]
    return Draw("smollm3", t.SmolLM3Config(**with_rope(random, found)), t.SmolLM3ForCausalLM)


def gpt2(random: Random) -> Draw:
    heads = random.choice((1, 2, 3, 5))
    found = {"vocab_size": random.randint(40, 140), "n_head": heads, "n_embd": heads * random.choice((3, 4, 8))}
    found |= {"n_positions": random.choice((40, 64)), "n_layer": random.randint(1, 4), "bos_token_id": 1}
    found |= perhaps(random, n_inner=(None, 21, 50), activation_function=ACTIVATIONS, layer_norm_epsilon=EPSILONS)
    found |= perhaps(random, scale_attn_weights=(True, False), scale_attn_by_inverse_layer_idx=(True, False))
    found |= perhaps(random, reorder_and_upcast_attn=(True, False), tie_word_embeddings=(True, False))
    return Draw("gpt2", t.GPT2Config(**found), t.GPT2LMHeadModel, prefix="transformer.")


def gpt_neox(random: Random) -> Draw:
    found = sizes(random) | perhaps(random, hidden_act=ACTIVATIONS, layer_norm_eps=EPSILONS)
    found |= perhaps(random, use_parallel_residual=(True, False), attention_bias=(True, False))
    found |= perhaps(random, tie_word_embeddings=(True, False))
    width = found["hidden_size"] // found["num_attention_heads"]
    shares = [share for share in (0.25, 0.5, 1.0) if width * share >= 2 and width * share % 2 == 0]
    found["rope_parameters"] = {"rope_type": "default", "rope_theta": random.choice(BASES)}
    if width < 8 or random.random() < 0.6:
        found["rope_parameters"]["partial_rotary_factor"] = random.choice(shares)
    return Draw("gpt-neox", t.GPTNeoXConfig(**found), t.GPTNeoXForCausalLM)


def gemma(random: Random) -> Draw:
    found = grouped(random) | {"head_dim": random.choice((2, 6, 10))} | perhaps(random, attention_bias=(True, False))
    return Draw("gemma", t.GemmaConfig(**with_rope(random, found)), t.GemmaForCausalLM)


def gemma2(random: Random) -> Draw:
    found = grouped(random) | {"head_dim": random.choice((2, 6, 10))} | perhaps(random, attention_bias=(True, False))
    found |= {"query_pre_attn_scalar": random.choice((5, 13, 256)), "sliding_window": random.choice((3, 9))}
    found |= perhaps(random, attn_logit_softcapping=(3.0, 50.0, None), final_logit_softcapping=(4.0, 30.0, None))
    found |= layer_types(random, found["num_hidden_layers"])
    return Draw("gemma2", t.Gemma2Config(**with_rope(random, found)), t.Gemma2ForCausalLM)


def vaultgemma(random: Random) -> Draw:
    found = grouped(random, (1, 3)) | {"head_dim": random.choice((2, 6, 10)), "sliding_window": random.choice((3, 9))}
    found |= perhaps(random, attn_logit_softcapping=(3.0, None), final_logit_softcapping=(4.0, None))
    found |= perhaps(random, query_pre_attn_scalar=(5, 256), attention_bias=(True, False))
    found |= layer_types(random, found["num_hidden_layers"])
    return Draw("vaultgemma", t.VaultGemmaConfig(**with_rope(random, found)), t.VaultGemmaForCausalLM)


def gemma3(random: Random) -> Draw:
    found = grouped(random, (1, 7)) | {"head_dim": random.choice((2, 6, 10)), "sliding_window": random.choice((3, 9))}
    found |= perhaps(random, query_pre_attn_scalar=(5, 13, 256), attention_bias=(True, False))
    found |= perhaps(random, final_logit_softcapping=(4.0, None), attn_logit_softcapping=(None, None, None, None, 5.0))
    found |= layer_types(random, found["num_hidden_layers"]) or perhaps(random, sliding_window_pattern=(2, 3, 6))
    if random.random() < 0.6:
        everywhere: Settings = (
            {"rope_type": "linear", "factor": 8.0} if random.random() < 0.5 else {"rope_type": "default"}
        )
        found["rope_parameters"] = {
            "sliding_attention": {"rope_type": "default", "rope_theta": random.choice(BASES)},
            "full_attention": everywhere | {"rope_theta": random.choice(BASES)},
        }
    return Draw("gemma3", t.Gemma3TextConfig(**found), t.Gemma3ForCausalLM)


def gemma3n(random: Random) -> Draw:
    found = grouped(random, (3, 6)) | {"head_dim": random.choice((2, 6, 10)), "sliding_window": random.choice((3, 9))}
    layers, count = found["num_hidden_layers"], random.randint(2, 5)
    kinds = [random.choice(("sliding_attention", "full_attention")) for _ in range(layers)]
    shared = random.choice((0, 1, 2))
    found |= {"layer_types": kinds, "hidden_size_per_layer_input": random.choice((3, 4))}
    found |= {"num_kv_shared_layers": shared if set(kinds[: layers - shared]) == set(kinds) else 0}
    found |= {"vocab_size_per_layer_input": found["vocab_size"] - random.choice((0, 9)), "altup_num_inputs": count}
    found |= {"altup_active_idx": random.randrange(count), "laurel_rank": random.randint(2, 6)}
    found |= {"activation_sparsity_pattern": [random.choice((0.0, 0.5, 0.9)) for _ in range(layers)]}
    found |= perhaps(random, final_logit_softcapping=(4.0, 30.0), attention_bias=(True, False))
    return Draw("gemma3n", t.Gemma3nTextConfig(**found), t.Gemma3nForCausalLM)


def gemma4(random: Random) -> Draw:
    found = grouped(random, (2, 7)) | {"head_dim": random.choice((2, 6, 10)), "sliding_window": random.choice((3, 9))}
    layers, found["hidden_size"] = found["num_hidden_layers"], max(8, found["hidden_size"])
    kinds = [random.choice(("sliding_attention", "full_attention")) for _ in range(layers - 1)] + ["full_attention"]
    shared = random.choice((0, 0, 1, 2, 3))
    fits = shared < layers and set(kinds[: layers - shared]) == set(kinds)
    found |= {"layer_types": kinds, "num_kv_shared_layers": shared if fits else 0}
    found |= {"global_head_dim": random.choice((4, 8, 10)), "vocab_size_per_layer_input": found["vocab_size"]}
    found |= {"hidden_size_per_layer_input": random.choice((0, 3, 4)), "attention_k_eq_v": random.random() < 0.4}
    found |= perhaps(random, use_double_wide_mlp=(True, False), final_logit_softcapping=(4.0, None))
    found |= perhaps(random, attention_bias=(True, False), num_global_key_value_heads=(1,))
    if random.random() < 0.4:
        experts = random.randint(2, 5)
        found |= {"enable_moe_block": True, "num_experts": experts, "top_k_experts": random.randint(1, experts)}
        found |= {"moe_intermediate_size": random.choice((3, 6))}
    if random.random() < 0.6:
        found["rope_parameters"] = {
            "sliding_attention": {"rope_type": "default", "rope_theta": random.choice(BASES)},
            "full_attention": {
                "rope_type": "proportional",
                "partial_rotary_factor": random.choice((0.25, 0.5, 1.0)),
                "rope_theta": random.choice(BASES),
            },
        }
    return Draw("gemma4", t.Gemma4TextConfig(**found), t.Gemma4ForCausalLM)


def mixtral(random: Random) -> Draw:
    found = grouped(random) | head_width(random) | perhaps(random, hidden_act=ACTIVATIONS, sliding_window=(None, 3, 9))
    experts = random.randint(2, 6)
    found |= {"num_local_experts": experts, "num_experts_per_tok": random.randint(1, experts)}
    return Draw("mixtral", t.MixtralConfig(**with_rope(random, found)), t.MixtralForCausalLM)


def qwen3_moe(random: Random) -> Draw:
    found = grouped(random) | head_width(random) | perhaps(random, hidden_act=ACTIVATIONS, attention_bias=(True, False))
    experts = random.randint(2, 6)
    found |= {"num_experts": experts, "num_experts_per_tok": random.randint(1, experts)}
    found |= {"moe_intermediate_size": random.randint(5, 20)} | perhaps(random, norm_topk_prob=(True, False))
    found |= perhaps(random, mlp_only_layers=([], [0], [1]), decoder_sparse_step=(1, 2))
    found |= perhaps(random, use_sliding_window=(True, False), sliding_window=(3, 7))
    return Draw("qwen3-moe", t.Qwen3MoeConfig(**with_rope(random, found)), t.Qwen3MoeForCausalLM)


def gpt_oss(random: Random) -> Draw:
    found = grouped(random) | {"head_dim": random.choice((4, 8)), "sliding_window": random.choice((3, 9))}
    experts = random.randint(2, 6)
    found |= {"num_local_experts": experts, "num_experts_per_tok": random.randint(1, experts)}
    found |= perhaps(random, swiglu_limit=(1.5, 7.0), attention_bias=(True, False))
    found |= layer_types(random, found["num_hidden_layers"])
    return Draw("gpt-oss", t.GptOssConfig(**with_rope(random, found)), t.GptOssForCausalLM)


def _bert(random: Random, name: str, config: Any, masked: Any, bare: Any) -> Draw:
    found = sizes(random) | {"max_position_embeddings": 64, "type_vocab_size": random.choice((1, 2))}
    found |= perhaps(random, hidden_act=ACTIVATIONS, layer_norm_eps=EPSILONS, tie_word_embeddings=(True, False))
    found["pad_token_id"] = random.choice((0, 1))
    encoder = random.random() < 0.2
    return Draw(name, config(**found), bare if encoder else masked, "encoder" if encoder else "masked")


def bert(random: Random) -> Draw:
    return _bert(random, "bert", t.BertConfig, t.BertForMaskedLM, t.BertModel)


def roberta(random: Random) -> Draw:
    return _bert(random, "roberta", t.RobertaConfig, t.RobertaForMaskedLM, t.RobertaModel)


def xlm_roberta(random: Random) -> Draw:
    return _bert(random, "xlm-roberta", t.XLMRobertaConfig, t.XLMRobertaForMaskedLM, t.XLMRobertaModel)


def camembert(random: Random) -> Draw:
    return _bert(random, "camembert", t.CamembertConfig, t.CamembertForMaskedLM, t.CamembertModel)


def distilbert(random: Random) -> Draw:
    heads = random.choice((1, 2, 3))
    found = {"vocab_size": random.randint(40, 140), "n_heads": heads, "dim": heads * random.choice((3, 8))}
    found |= {"n_layers": random.randint(1, 3), "hidden_dim": random.randint(5, 60), "max_position_embeddings": 64}
    found |= perhaps(random, activation=("gelu", "relu"), tie_word_embeddings=(True, False))
    found |= perhaps(random, sinusoidal_pos_embds=(True, False))
    return Draw("distilbert", t.DistilBertConfig(**found), t.DistilBertForMaskedLM, "masked")


def t5(random: Random, name: str = "t5") -> Draw:
    prefix = {"t5": "T5", "mt5": "MT5", "umt5": "UMT5"}[name]
    config = getattr(t, f"{prefix}Config")
    found = {
        "vocab_size": random.randint(40, 140),
        "d_model": random.choice((8, 20, 36)),
        "d_kv": random.choice((3, 10)),
    }
    found |= {"d_ff": random.randint(5, 60), "num_layers": random.randint(1, 3), "num_heads": random.choice((1, 2, 3))}
    found |= {"relative_attention_num_buckets": random.choice((4, 8, 32)), "decoder_start_token_id": 0}
    found |= perhaps(random, num_decoder_layers=(1, 3), relative_attention_max_distance=(9, 20, 128))
    kinds = ("relu", "gated-gelu", "gated-silu", "gelu", "gated-relu")
    found |= perhaps(random, feed_forward_proj=kinds, tie_word_embeddings=(True, False), layer_norm_epsilon=EPSILONS)
    found |= perhaps(random, scale_decoder_outputs=(True, False))
    head = random.choice(("", "SequenceClassification", "QuestionAnswering"))
    if head:
        found |= {"num_labels": random.choice((1, 2, 5))} if head.startswith("S") else {}
        return Draw(name, config(**found), getattr(t, f"{prefix}For{head}"), "read-twice")
    return Draw(name, config(**found), getattr(t, f"{prefix}ForConditionalGeneration"), "encoder-decoder")


def mt5(random: Random) -> Draw:
    return t5(random, "mt5")


def umt5(random: Random) -> Draw:
    return t5(random, "umt5")


def marian(random: Random) -> Draw:
    vocabulary, heads = random.randint(40, 140), random.choice((1, 2, 3))
    found = {
        "vocab_size": vocabulary,
        "decoder_vocab_size": vocabulary,
        "d_model": heads * 2 * random.choice((2, 4, 8)),
    }
    found |= {"encoder_attention_heads": heads, "decoder_attention_heads": random.choice((heads, 1))}
    found |= {"encoder_layers": random.randint(1, 3), "decoder_layers": random.randint(1, 3)}
    found |= {"encoder_ffn_dim": random.randint(5, 60), "decoder_ffn_dim": random.randint(5, 60)}
    found |= {"max_position_embeddings": 64, "pad_token_id": vocabulary - 1, "decoder_start_token_id": vocabulary - 1}
    found |= {"eos_token_id": 0, "forced_eos_token_id": 0}
    found |= perhaps(random, activation_function=ACTIVATIONS, scale_embedding=(True, False))
    found |= perhaps(random, tie_word_embeddings=(True, True, True, True, False), bad_words_ids=([[vocabulary - 1]],))
    return Draw("marian", t.MarianConfig(**found), t.MarianMTModel, "encoder-decoder")


DECODERS = (
    *(llama, mistral, qwen2, qwen3, phi3, olmo2, smollm3, gpt2, gpt_neox),
    *(gemma, gemma2, vaultgemma, gemma3, gemma3n, gemma4),
)
MIXTURES = (mixtral, qwen3_moe, gpt_oss)
OTHERS = (bert, roberta, xlm_roberta, camembert, distilbert, t5, mt5, umt5, marian)
FAMILIES: tuple[Callable[[Random], Draw], ...] = (*DECODERS, *MIXTURES, *OTHERS)
