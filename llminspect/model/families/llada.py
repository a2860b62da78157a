"""LLaDA: a Llama whose files have other names, which sees both ways and writes by filling masks.

Nie et al. 2025, "Large Language Diffusion Models", section 2; the names are those of OLMo's first code.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.model import decoder_files as files
from llminspect.model import masking
from llminspect.model.config import read_sizes
from llminspect.model.families import llama

SIZES = {"L": "n_layers", "D": "d_model", "H": "n_heads", "context": "max_sequence_length"}
NAMES = {
    "embed_tokens": "transformer.wte",
    "norm": "transformer.ln_f",
    "lm_head": "transformer.ff_out",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}
"""What Llama's files call an array, and LLaDA's."""
BUILT_SO = {
    "block_type": "llama",
    "block_group_size": 1,
    "layer_norm_type": "rms",
    "activation_type": "silu",
    "layer_norm_with_affine": True,
    "rope": True,
    **dict.fromkeys(("alibi", "attention_layer_norm", "bias_for_layer_norm", "include_bias"), False),
    **dict.fromkeys(("include_qkv_bias", "input_emb_norm", "scale_logits", "multi_query_attention"), False),
}
"""Switches of that code which no published LLaDA has otherwise."""
USUAL = {
    "block_type": "sequential",
    "layer_norm_type": "default",
    "activation_type": "swiglu",
    "rope": False,
    "max_sequence_length": 1024,
    "weight_tying": True,
    "rms_norm_eps": 1e-5,
}


def from_huggingface(settings: files.Settings) -> files.DecoderConfig:
    for key, value in BUILT_SO.items():
        settings.only(key, value)
    # Of switches that are off, of training, and how the rotation is rounded.
    settings.skip("alibi_bias_max", "attention_layer_norm_with_affine", "init_cutoff_factor", "init_fn", "precision")
    settings.skip("rope_full_precision")
    shared = settings.whole("n_kv_heads", settings.whole("n_heads"))
    rows = settings.whole("embedding_size", settings.whole("vocab_size"))
    wide = settings.whole("mlp_hidden_size", settings.whole("mlp_ratio", 4) * settings.whole("d_model"))
    sizes = read_sizes(settings, SIZES, K=shared, F=wide, V=rows)
    found = files.from_huggingface(settings, sizes, tied=settings.flag("weight_tying"))
    return masking.from_huggingface(found, settings, masking.EVENLY)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return masking.from_gguf(files.from_gguf(settings, biased=()), settings, masking.EVENLY)


def tensors(config: files.DecoderConfig) -> list[files.TensorSpec]:
    return [replace(spec, huggingface=renamed(spec.huggingface)) for spec in llama.tensors(config)]


def renamed(name: str | tuple[str, ...] | None) -> str | None:
    """`layers.3.mlp.up_proj.weight` → `transformer.blocks.3.up_proj.weight`."""
    if not isinstance(name, str):
        return None
    module = name.removesuffix(".weight")
    if not module.startswith("layers."):
        return f"{NAMES[module]}.weight"
    _, index, inner = module.split(".", 2)
    return f"transformer.blocks.{index}.{NAMES[inner]}.weight"


LLADA = files.family("llada", from_huggingface, tensors, read_gguf=from_gguf, defaults=USUAL)
ARCHITECTURE = masking.filling(LLADA)
