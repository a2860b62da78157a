"""LLaDA: a Llama whose files have other names, which sees both ways and writes by filling masks.

Nie et al. 2025, "Large Language Diffusion Models", section 2; the names are those of OLMo's first code. How files say
that a decoder fills masks is here for Dream as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llminspect.model import decoder_files as files
from llminspect.model.config import Masking, read_sizes
from llminspect.model.families import llama

EVENLY = Masking(None, "confidence", even=True, shifted=False)
"""As many masks in each step, the surest first (LLaDA) …"""
BY_SHARE = Masking(None, "entropy", even=False, shifted=True)
"""… or a share of those that are left (Dream)."""


def filling_from_huggingface(
    config: files.DecoderConfig, settings: files.Settings, masking: Masking
) -> files.DecoderConfig:
    """Raises ModelError for a model that sees one way, and for a mask that is none of the vocabulary's tokens."""
    settings.only("is_causal", False)
    mask_id = _mask_id(settings.get("mask_token_id"), config.sizes.V, settings, "mask_token_id")
    return replace(config, causal=False, masking=replace(masking, mask_id=mask_id))


def filling_from_gguf(config: files.DecoderConfig, settings: files.Settings, masking: Masking) -> files.DecoderConfig:
    """The same of a GGUF file, which names the mask among the tokenizer's settings."""
    settings.only("attention.causal", False)
    key = "tokenizer.ggml.mask_token_id"
    mask_id = _mask_id(settings.metadata.get(key), config.sizes.V, settings, key)
    shifted = settings.metadata.get("diffusion.shift_logits", masking.shifted)
    return replace(config, causal=False, masking=replace(masking, mask_id=mask_id, shifted=bool(shifted)))


def _mask_id(stated: Any, vocabulary: int, settings: files.Settings, key: str) -> int | None:
    if stated is not None and (
        isinstance(stated, bool) or not isinstance(stated, int) or stated not in range(vocabulary)
    ):
        raise settings.wrong(key, f"an id from 0 to {vocabulary - 1}")
    return stated


FILLING: dict[str, Any] = {
    "capabilities": frozenset({"encode", "fill", "unmask"}),
    "only_causal": frozenset[str](),
    "heads": None,
}
"""What an architecture has that sees both ways, and fills masks until a text stands there."""

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
    return filling_from_huggingface(found, settings, EVENLY)


def from_gguf(settings: files.Settings) -> files.DecoderConfig:
    return filling_from_gguf(files.from_gguf(settings, biased=()), settings, EVENLY)


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


ARCHITECTURE = files.family("llada", from_huggingface, tensors, read_gguf=from_gguf, defaults=USUAL, **FILLING)
