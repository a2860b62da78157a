"""Mixtral: Mistral with eight feed-forward networks a layer, of which two work on each token.

Jiang et al. 2024, "Mixtral of Experts", section 2.1.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    found = files.with_windows(files.from_huggingface(settings, sizes), settings)
    return replace(found, experts=files.Experts(files.chosen_experts(settings, "num_experts_per_tok", sizes.X)))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    router, expert = "block_sparse_moe.gate", "block_sparse_moe.experts.{}"
    experts = files.expert_specs(config.sizes.X, router, expert, ("w1", "w3", "w2"))
    return files.around_layers(config, [*files.NORMS_BEFORE, *files.attention_specs(config), *experts])


DEFAULTS = {
    "rms_norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
    "num_experts_per_tok": 2,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
}
SPELLINGS = files.in_one("block_sparse_moe", "gate.weight")
ARCHITECTURE = files.family("mixtral", from_huggingface, tensors, defaults=DEFAULTS, spellings=SPELLINGS)
