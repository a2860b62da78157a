"""Which tiny models stand for the families of decoders (`golden_others.py` has those of the others)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as t

SIZES = {
    "vocab_size": 131,
    "hidden_size": 36,
    "intermediate_size": 52,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 10}
"""One key/value head, and heads that are wider than D / H."""


@dataclass(frozen=True)
class Family:
    name: str
    config: Callable[[], Any]
    model: Callable[[Any], Any]
    kind: str = "decoder"
    """Or "both-ways" (a decoder that sees what comes after, too), "masked", "encoder", "encoder-decoder", "body" (a
    decoder without its output matrix, an encoder without its decoder), "labels" (a head for those of a text or of its
    tokens), "span"."""
    layers: Callable[[Any], Any] = lambda model: model.model.layers
    encoder_layers: Callable[[Any], Any] | None = None
    tokens: int = 29
    prompt: int = 8
    vocabulary: int = 131
    rounded_to: torch.dtype | None = None
    active: int | None = None
    """Which of several residual streams is the one that is kept."""
    padding: int = 0
    """How many padding tokens end the text."""
    shard: str = "1GB"
    published: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """What its own `config.json` is, of that of the reference that stands for it …"""
    renamed: Callable[[str], str] = lambda name: name
    """… and what its own files call a tensor."""
    untied: bool = False
    """Give it an output matrix of its own where transformers 5 always shares the embedding's (T5 1.1 has its own)."""


def eager(config_class: Any, **settings: Any) -> Callable[[], Any]:
    return lambda: config_class(attn_implementation="eager", experts_implementation="eager", **settings)


def llama(name: str, rope: dict[str, Any] | None = None, **settings: Any) -> Family:
    given = {**GROUPED, **settings, **({"rope_parameters": rope} if rope else {})}
    return Family(name, eager(t.LlamaConfig, **given), t.LlamaForCausalLM)


LLAMAS = [
    llama(
        "llama", num_key_value_heads=2, tie_word_embeddings=False, rope={"rope_type": "default", "rope_theta": 500.0}
    ),
    llama("llama-biased", attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    llama("llama-linear", rope={"rope_type": "linear", "factor": 3.0, "rope_theta": 10000.0}),
    llama(
        "llama-dynamic",
        rope={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
        max_position_embeddings=22,
    ),
    llama(
        "llama-llama3",
        rope={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 50.0,
        },
        tie_word_embeddings=True,
    ),
    llama(
        "llama-yarn",
        rope={
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 50.0,
            "beta_fast": 2.0,
            "beta_slow": 0.5,
        },
    ),
]

DECODERS = [
    Family("mistral", eager(t.MistralConfig, **GROUPED, sliding_window=7), t.MistralForCausalLM, shard="60KB"),
    Family(
        "qwen2",
        eager(
            t.Qwen2Config,
            **{**SIZES, "num_key_value_heads": 2, "num_hidden_layers": 4},
            use_sliding_window=True,
            sliding_window=6,
            max_window_layers=2,
        ),
        t.Qwen2ForCausalLM,
        rounded_to=torch.bfloat16,
    ),
    Family("qwen3", eager(t.Qwen3Config, **GROUPED, tie_word_embeddings=True), t.Qwen3ForCausalLM),
    Family("phi3", eager(t.Phi3Config, **{**SIZES, "num_key_value_heads": 2}, sliding_window=9), t.Phi3ForCausalLM),
    Family(
        "phi3-longrope",
        eager(
            t.Phi3Config,
            **{**SIZES, "num_key_value_heads": 3},
            original_max_position_embeddings=24,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0, 1.1, 1.3],
                "long_factor": [1.5, 2.0, 4.0],
                "original_max_position_embeddings": 24,
            },
        ),
        t.Phi3ForCausalLM,
    ),
    Family("olmo2", eager(t.Olmo2Config, **{**SIZES, "num_key_value_heads": 2}), t.Olmo2ForCausalLM),
    Family(
        "smollm3",
        eager(
            t.SmolLM3Config,
            **{**SIZES, "num_key_value_heads": 3, "num_hidden_layers": 4},
            no_rope_layer_interval=2,
            tie_word_embeddings=True,
        ),
        t.SmolLM3ForCausalLM,
    ),
    Family(
        "gpt2",
        eager(t.GPT2Config, vocab_size=131, n_positions=64, n_embd=36, n_layer=3, n_head=6, n_inner=50),
        t.GPT2LMHeadModel,
        layers=lambda model: model.transformer.h,
        rounded_to=torch.float16,
    ),
    Family(
        "gpt-neox",
        eager(
            t.GPTNeoXConfig,
            **{**SIZES, "num_attention_heads": 3},
            rope_parameters={"rope_type": "default", "rope_theta": 300.0, "partial_rotary_factor": 0.34},
        ),
        t.GPTNeoXForCausalLM,
        layers=lambda model: model.gpt_neox.layers,
    ),
    Family(
        "gpt-neox-sequential",
        eager(
            t.GPTNeoXConfig,
            **{**SIZES, "num_attention_heads": 2},
            use_parallel_residual=False,
            tie_word_embeddings=True,
        ),
        t.GPTNeoXForCausalLM,
        layers=lambda model: model.gpt_neox.layers,
    ),
    Family("gemma", eager(t.GemmaConfig, **GROUPED), t.GemmaForCausalLM),
    Family(
        "gemma2",
        eager(
            t.Gemma2Config,
            **{**GROUPED, "num_key_value_heads": 2},
            sliding_window=5,
            query_pre_attn_scalar=7,
            attn_logit_softcapping=3.0,
            final_logit_softcapping=4.0,
        ),
        t.Gemma2ForCausalLM,
    ),
    Family(
        "gemma3",
        eager(
            t.Gemma3TextConfig,
            **{**GROUPED, "num_hidden_layers": 7},
            sliding_window=6,
            query_pre_attn_scalar=13,
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
            },
        ),
        t.Gemma3ForCausalLM,
    ),
]

MIXTURES = [
    Family(
        "mixtral",
        eager(t.MixtralConfig, **GROUPED, num_local_experts=5, num_experts_per_tok=2, sliding_window=9),
        t.MixtralForCausalLM,
    ),
    Family(
        "qwen3-moe",
        eager(
            t.Qwen3MoeConfig,
            **GROUPED,
            num_experts=6,
            num_experts_per_tok=3,
            moe_intermediate_size=14,
            mlp_only_layers=[1],
            norm_topk_prob=True,
        ),
        t.Qwen3MoeForCausalLM,
    ),
    Family(
        "gpt-oss",
        eager(
            t.GptOssConfig,
            **{**GROUPED, "num_key_value_heads": 2, "intermediate_size": 22, "num_hidden_layers": 4},
            num_local_experts=4,
            num_experts_per_tok=2,
            sliding_window=6,
            rope_parameters={
                "rope_type": "yarn",
                "factor": 4.0,
                "beta_fast": 3.0,
                "beta_slow": 0.5,
                "truncate": False,
                "original_max_position_embeddings": 16,
                "rope_theta": 60.0,
            },
            swiglu_limit=1.5,
        ),
        t.GptOssForCausalLM,
    ),
]

BOTH_WAYS = [
    Family("llama-both-ways", eager(t.LlamaConfig, **GROUPED, is_causal=False), t.LlamaForCausalLM, "both-ways"),
    Family(
        "mistral-both-ways",
        eager(t.MistralConfig, **GROUPED, sliding_window=4, is_causal=False),
        t.MistralForCausalLM,
        "both-ways",
    ),
    Family(
        "gemma3-both-ways",
        eager(
            t.Gemma3TextConfig,
            **GROUPED,
            sliding_window=9,
            sliding_window_pattern=2,
            query_pre_attn_scalar=13,
            use_bidirectional_attention=True,
        ),
        t.Gemma3ForCausalLM,
        "both-ways",
    ),
]

FAMILIES = [*LLAMAS, *DECODERS, *MIXTURES, *BOTH_WAYS]
