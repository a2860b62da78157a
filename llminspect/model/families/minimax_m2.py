"""MiniMax M2: every layer a mixture whose router takes sigmoids, and a bias for the choice alone; queries and keys
normed over all heads at once, a part of each head turned.

MiniMax 2025, "MiniMax-M2" (model card).
"""

from __future__ import annotations

from functools import partial

from llminspect.model import decoder_files as files
from llminspect.model import mixture_files as mixtures
from llminspect.model.families.olmo import WHOLE_NORMS

OF_OTHER_PARTS = """
    use_mtp num_mtp_modules mtp_transformer_layers mlp_intermediate_size shared_moe_mode layernorm_full_attention_beta
    layernorm_linear_attention_beta layernorm_mlp_beta
"""
"""What its `config.json` says of parts that this model lacks, or that predict more than one token."""


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    for key, value in {"use_qk_norm": True, "use_routing_bias": True, "shared_intermediate_size": 0}.items():
        settings.only(key, value)
    settings.only("qk_norm_type", "per_layer")
    settings.only("scoring_func", "sigmoid")
    settings.skip(*OF_OTHER_PARTS.split())
    sizes = files.sizes_from_huggingface(settings, experts=settings.whole("num_local_experts"))
    settings.only("attn_type_list", [1] * sizes.L)
    if settings.get("rotary_dim") is not None:
        share = min(settings.whole("rotary_dim") / sizes.E, 1.0)
        settings.values = {"partial_rotary_factor": share, **settings.values}
    chosen = files.chosen_experts(settings, "num_experts_per_tok", sizes.X)
    return files.from_huggingface(settings, sizes, experts=files.Experts(chosen, kind="sigmoid"))


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    block = "block_sparse_moe"
    layer = [
        *files.NORMS_BEFORE,
        *files.attention_specs(config),
        *WHOLE_NORMS,
        *files.expert_specs(config.sizes.X, f"{block}.gate", f"{block}.experts.{{}}", ("w1", "w3", "w2")),
        mixtures.choice_spec(f"{block}.e_score_correction_bias"),
    ]
    return files.around_layers(config, layer)


DEFAULTS = {
    "head_dim": 128,
    "partial_rotary_factor": 1.0,
    "num_key_value_heads": 8,
    "num_experts_per_tok": 8,
    "rope_theta": 5_000_000.0,
    "max_position_embeddings": 196_608,
}
ARCHITECTURE = files.family(
    "minimax_m2",
    from_huggingface,
    tensors,
    gguf="minimax-m2",
    read_gguf=partial(mixtures.from_gguf, router={"kind": "sigmoid"}, biased=()),
    defaults=DEFAULTS,
    spellings=files.in_one("block_sparse_moe", "gate.weight", "e_score_correction_bias"),
)
