"""Which golden models llama.cpp has a kind for, and what its files cannot say of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gguf

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {
    "LLAMA": "llama llama-linear llama-llama3 llama-yarn llama-biased mixtral",
    "APERTUS": "apertus",
    "JAIS2": "jais2",
    "DEEPSEEK": "deepseek",
    "CHATGLM": "glm",
    "MISTRAL3": "ministral3",
    "PHIMOE": "phimoe",
    "QWEN2VL": "qwen2_vl",
    "QWEN3VL": "qwen3_vl",
    "QWEN3VLMOE": "qwen3_vl_moe",
    "QWEN2": "qwen2",
    "QWEN3": "qwen3",
    "QWEN2MOE": "qwen2-moe",
    "QWEN3MOE": "qwen3-moe",
    "GEMMA": "gemma",
    "GEMMA2": "gemma2",
    "GEMMA3": "gemma3",
    "GEMMA_EMBEDDING": "gemma3-both-ways",
    "GEMMA3N": "gemma3n",
    "GEMMA4": "gemma4 gemma4-same-keys gemma4-experts",
    "PHI2": "phi-plain",
    "PHI3": "phi3 phi3-longrope",
    "GPT2": "gpt2",
    "STARCODER": "gpt_bigcode",
    "BERT": "bert-encoder",
    "MODERN_BERT": "modernbert",
    "NOMIC_BERT": "nomic-bert",
    "JINA_BERT_V2": "jina-bert jina-bert-code",
    "JINA_BERT_V3": "jina-v3",
    "EUROBERT": "eurobert",
    "BLOOM": "bloom",
    "MPT": "mpt",
    "FALCON": "falcon falcon-grouped",
    "OLMO": "olmo",
    "OLMO2": "olmo2 olmo3",
    "SMOLLM3": "smollm3",
    "GPTNEOX": "gpt-neox gpt-neox-sequential",
    "GPT_OSS": "gpt-oss",
    "GRANITE": "granite",
    "GRANITE_MOE": "granitemoe",
    "ERNIE4_5_MOE": "ernie4_5_moe",
    "HUNYUAN_MOE": "hunyuan_v1_moe",
    "MINIMAXM2": "minimax_m2",
    "OLMOE": "olmoe",
    "DOTS1": "dots1",
    "GLM4_MOE": "glm4_moe",
    "COMMAND_R": "cohere",
    "COHERE2": "cohere2",
    "EXAONE4": "exaone4 exaone4-whole",
    "EXAONE_MOE": "exaone_moe",
    "AFMOE": "afmoe",
    "SEED_OSS": "seed-oss",
    "ERNIE4_5": "ernie4_5",
    "HUNYUAN_DENSE": "hunyuan",
    "ARCEE": "arcee",
    "NEMOTRON": "nemotron",
    "STABLELM": "stablelm stablelm-parallel",
    "STARCODER2": "starcoder2",
    "GLM4": "glm4",
    "DREAM": "dream",
    "LLADA": "llada",
    "LFM2": "lfm2",
    "MINICPM3": "minicpm3",
    "DEEPSEEK2": "deepseek-v2 deepseek-v3 glm4-moe-lite",
    "LFM2MOE": "lfm2_moe",
    "QWEN3NEXT": "qwen3_next",
    "QWEN35": "qwen3_5",
    "QWEN35MOE": "qwen3_5_moe",
    "GRANITE_HYBRID": "granitemoehybrid granitemoehybrid-experts",
    "RWKV7": "rwkv7",
    "JAMBA": "jamba",
    "FALCON_H1": "falcon_h1",
    "NEMOTRON_H_MOE": "nemotron_h",
    "MAMBA": "mamba falcon_mamba",
    "MAMBA2": "mamba2",
    "T5": "t5 t5-gated umt5",
    "T5ENCODER": "t5-encoder",
}
KINDS = {name: gguf.MODEL_ARCH[kind] for kind, names in NAMES.items() for name in names.split()}
"""Golden models that llama.cpp has a kind for …"""
WITH_HEADS = {
    "nomic-mixture": gguf.MODEL_ARCH.NOMIC_BERT_MOE,
    "bert-sequence": gguf.MODEL_ARCH.BERT,
    "roberta-sequence": gguf.MODEL_ARCH.BERT,
    "modernbert-sequence": gguf.MODEL_ARCH.MODERN_BERT,
}
"""… and those of which its converter keeps a part: of a head, or all but the bias of a mixture."""

UNSAID: dict[str, Callable[[Any], Any]] = {
    "qwen2": lambda config: replace(config, window=6, windowed=(2, 3)),
    "mixtral": lambda config: replace(config, window=9, windowed=(0, 1, 2)),
    "qwen2-moe": lambda config: replace(config, experts=replace(config.experts, plain_layers=(1,))),
    "qwen3_vl_moe": lambda config: replace(config, experts=replace(config.experts, plain_layers=(0,))),
    "ministral3": lambda config: replace(config, window=9, windowed=(0, 1)),
    "phimoe": lambda config: replace(config, experts=replace(config.experts, near=0.6)),
    "qwen3-moe": lambda config: replace(config, experts=replace(config.experts, plain_layers=(1,))),
    "dots1": lambda config: replace(config, window=6, windowed=(1, 2)),
    "gemma2": lambda config: replace(config, scale=7**-0.5),
    "gemma3": lambda config: replace(config, scale=13**-0.5),
    "gemma3-both-ways": lambda config: replace(config, scale=13**-0.5, windowed=(0, 2)),
    "olmo3": lambda config: replace(
        config, rotary=replace(config.rotary, scaling=replace(config.rotary.scaling, gain=1.2))
    ),
    "smollm3": lambda config: replace(config, unturned=(1, 3)),
    "gpt-oss": lambda config: replace(config, unit=replace(config.unit, limit=1.5)),
    "starcoder2": lambda config: replace(config, window=8, windowed=(0, 1, 2)),
    "mpt": lambda config: replace(config, scale=0.3),
    "afmoe": lambda config: replace(config, windowed=(1,), unturned=(0,)),
    "lfm2_moe": lambda config: replace(config, experts=replace(config.experts, factor=1.3)),
    "falcon_mamba": lambda config: replace(config, state=replace(config.state, norm_epsilon=0.02)),
    "nemotron_h": lambda config: replace(config, state=replace(config.state, limits=(0.4, float("inf")))),
    "mamba2": lambda config: replace(config, state=replace(config.state, limits=(0.2, 1.5))),
    **dict.fromkeys(("t5", "t5-gated", "umt5"), lambda config: replace(config, farthest=20)),
    "t5-encoder": lambda config: replace(config, farthest=10),
}
"""What a GGUF file cannot say and these golden models have other than every published model of their kind."""
