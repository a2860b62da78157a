"""What TransformerLens has at the hook points that sparse dictionaries name, for three of the golden models.

    python -m tools.record_hook_points tests/golden

Needs torch, transformers and transformer-lens 2. The weights are converted and not processed, as SAELens loads them;
`centred` is of the same weights with center_writing_weights. Written to dictionaries/hooks.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained import weight_conversions
from transformers import AutoModelForCausalLM

IDS = [1, 4, 2, 7, 3]
LAYER = 1
HOOKS = (
    "hook_resid_pre hook_resid_mid hook_resid_post hook_attn_out hook_mlp_out attn.hook_z ln2.hook_normalized".split()
)


def shared(config: Any) -> dict[str, Any]:
    return {
        "n_layers": config.num_hidden_layers, "d_model": config.hidden_size, "n_heads": config.num_attention_heads,
        "d_vocab": config.vocab_size, "n_ctx": 64, "dtype": torch.float32, "device": "cpu", "use_attn_scale": True,
    }  # fmt: skip


def rotary(config: Any, act: str) -> dict[str, Any]:
    return {
        "n_key_value_heads": config.num_key_value_heads, "d_head": config.head_dim, "d_mlp": config.intermediate_size,
        "act_fn": act, "normalization_type": "RMS", "eps": config.rms_norm_eps, "positional_embedding_type": "rotary",
        "rotary_dim": config.head_dim, "rotary_adjacent_pairs": False, "gated_mlp": True, "final_rms": True,
        "rotary_base": int(config.rope_parameters["rope_theta"]),
    }  # fmt: skip


def settings(name: str, config: Any) -> dict[str, Any]:
    if name == "gpt2":
        return {
            "d_head": config.hidden_size // config.num_attention_heads, "d_mlp": config.n_inner, "act_fn": "gelu_new",
            "normalization_type": "LN", "eps": config.layer_norm_epsilon,
        }  # fmt: skip
    if name == "llama":
        return rotary(config, "silu")
    return {
        **rotary(config, "gelu_pytorch_tanh"), "use_normalization_before_and_after": True,
        "attn_scale": config.query_pre_attn_scalar**0.5, "attn_scores_soft_cap": config.attn_logit_softcapping,
        "output_logits_soft_cap": config.final_logit_softcapping, "window_size": config.sliding_window,
        "use_local_attn": True, "attn_types": ["local", "global", "local"],
    }  # fmt: skip


def record(root: Path) -> dict[str, np.ndarray[Any, Any]]:
    convert = {
        "gpt2": weight_conversions.convert_gpt2_weights, "llama": weight_conversions.convert_llama_weights,
        "gemma2": weight_conversions.convert_gemma_weights,
    }  # fmt: skip
    ids, found = torch.tensor([IDS]), {}
    for name, converted in convert.items():
        model = AutoModelForCausalLM.from_pretrained(root / name, dtype=torch.float32, attn_implementation="eager")
        hooked = HookedTransformer(HookedTransformerConfig(**shared(model.config), **settings(name, model.config)))
        state = converted(model, hooked.cfg)
        hooked.load_state_dict(state, strict=False)
        logits, cache = hooked.run_with_cache(ids)
        print(name, float((logits - model(ids).logits).abs().max()))
        for hook in HOOKS:
            found[f"{name} blocks.{LAYER}.{hook}"] = cache[f"blocks.{LAYER}.{hook}"][0].detach().numpy()
        if name == "gpt2":
            hooked.load_and_process_state_dict(
                state, fold_ln=False, center_writing_weights=True, center_unembed=False, fold_value_biases=False
            )
            for hook in HOOKS[:5]:
                _, cache = hooked.run_with_cache(ids)
                found[f"{name} centred blocks.{LAYER}.{hook}"] = cache[f"blocks.{LAYER}.{hook}"][0].detach().numpy()
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with torch.no_grad():
        recorded = record(folder)
    np.savez_compressed(folder / "dictionaries" / "hooks.npz", ids=IDS, **recorded)
