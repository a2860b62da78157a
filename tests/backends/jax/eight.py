"""A Llama with random weights whose every dimension can be cut in eight, as a folder with safetensors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from llminspect.model.config import Sizes

if TYPE_CHECKING:
    from pathlib import Path

EIGHT = Sizes(L=2, D=32, H=16, K=8, E=4, F=64, V=64, context=1024)


def write_model(folder: Path, sizes: Sizes = EIGHT) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": sizes.D,
        "num_hidden_layers": sizes.L,
        "num_attention_heads": sizes.H,
        "num_key_value_heads": sizes.K,
        "head_dim": sizes.E,
        "intermediate_size": sizes.F,
        "vocab_size": sizes.V,
        "max_position_embeddings": sizes.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    width, head, hidden = sizes.D, sizes.E, sizes.F

    def matrix(*shape: int) -> object:
        return (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    arrays = {"model.embed_tokens.weight": matrix(sizes.V, width), "model.norm.weight": np.ones(width, np.float32)}
    for layer in range(sizes.L):
        front = f"model.layers.{layer}."
        arrays |= {
            f"{front}input_layernorm.weight": np.ones(width, np.float32),
            f"{front}post_attention_layernorm.weight": np.ones(width, np.float32),
            f"{front}self_attn.q_proj.weight": matrix(sizes.H * head, width),
            f"{front}self_attn.k_proj.weight": matrix(sizes.K * head, width),
            f"{front}self_attn.v_proj.weight": matrix(sizes.K * head, width),
            f"{front}self_attn.o_proj.weight": matrix(width, sizes.H * head),
            f"{front}mlp.gate_proj.weight": matrix(hidden, width),
            f"{front}mlp.up_proj.weight": matrix(hidden, width),
            f"{front}mlp.down_proj.weight": matrix(width, hidden),
        }
    save_file(arrays, folder / "model.safetensors")  # type: ignore[arg-type]
