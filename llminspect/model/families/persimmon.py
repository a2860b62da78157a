"""Persimmon: layer norms, also of each head's queries and keys, half of each head turned, squared ReLU without a gate.

Elsen et al. 2023, "Releasing Persimmon-8B"; So et al. 2021, "Primer", section 4.1.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files
from llminspect.model.families.gpt_neox import fused_by_heads
from llminspect.model.families.phi import HEAD_NORMS

BIASED = (*files.ATTENTION, *files.UNGATED)


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    sizes = files.sizes_from_huggingface(settings)
    settings.only("num_key_value_heads", sizes.H)
    settings.only("head_dim", sizes.D // sizes.H)
    normed = settings.flag("qk_layernorm")
    return files.from_huggingface(settings, sizes, norm="layer", head_norms=normed, biased=BIASED)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    layer = [
        *files.BIASED_NORMS_BEFORE,
        *fused_by_heads("self_attn.query_key_value", None, bias=True),
        *files.if_there(config.head_norms, HEAD_NORMS),
        *files.linear_specs(("attention.output", "D HE", "self_attn.dense", None), bias=True),
        *files.ungated_specs(config, "dense_h_to_4h", "dense_4h_to_h"),
    ]
    final = files.linear_specs(("final.norm", "D", "final_layernorm", None), bias=True)
    return files.around_layers(config, layer, final)


DEFAULTS = {
    "hidden_act": "relu2",
    "layer_norm_eps": 1e-5,
    "qk_layernorm": True,
    "partial_rotary_factor": 0.5,
    "max_position_embeddings": 16384,
}
ARCHITECTURE = files.family("persimmon", from_huggingface, tensors, defaults=DEFAULTS)
