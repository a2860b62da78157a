"""What llama.cpp's converter writes about rotations: their keys, and what slows each pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llminspect.core.array import Array

TYPES = {"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}


def rotation(config: dict[str, Any]) -> dict[str, Any]:
    every = config.get("rope_parameters", {})
    rope = every.get("full_attention", every) or {key: config[key] for key in ("rope_theta",) if key in config}
    kind = rope.get("rope_type")
    found: dict[str, Any] = {}
    if kind in TYPES:
        found = {"rope_scaling_type": TYPES[kind], "rope_scaling_factor": rope["factor"]}
    if kind == "yarn":
        found["rope_scaling_orig_ctx_len"] = rope["original_max_position_embeddings"]
        found |= {f"rope_scaling_yarn_{key}": rope[key] for key in ("beta_fast", "beta_slow") if key in rope}
    if "rope_theta" in rope:
        stretched = rope["alpha"] ** (config["head_dim"] / (config["head_dim"] - 2)) if "alpha" in rope else 1.0
        found["rope_freq_base"] = rope["rope_theta"] * stretched
    if "sliding_attention" in every:
        found["rope_freq_base_swa"] = every["sliding_attention"]["rope_theta"]
    if config["model_type"] in ("phi3", "phimoe"):
        found["rope_dimension_count"] = config["hidden_size"] // config["num_attention_heads"]
        original = config.get("original_max_position_embeddings", config["max_position_embeddings"])
        found["rope_scaling_orig_ctx_len"] = original
        if kind == "longrope":
            stretch = config["max_position_embeddings"] / original
            found["rope_scaling_attn_factors"] = float(np.sqrt(1 + np.log(stretch) / np.log(original)))
    return found


def divisors(config: dict[str, Any]) -> Iterator[tuple[str, Array]]:
    """The converter's `generate_extra_tensors`: what slows each pair of the rotation."""
    rope = config.get("rope_parameters", {})
    if config["model_type"] == "gemma4_text":
        width = next(iter(config["per_layer_config"].values()))["head_dim"]
        turned = int(width * rope["full_attention"]["partial_rotary_factor"] / 2)
        yield "rope_freqs.weight", np.array([1.0] * turned + [1e30] * (width // 2 - turned), np.float32)
    if rope.get("rope_type") == "llama3":
        width, context = config["head_dim"], rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        factors = []
        for pair in range(0, width, 2):
            wavelength = 2 * np.pi * rope["rope_theta"] ** (pair / width)
            if wavelength < context / high:
                factors.append(1.0)
            elif wavelength > context / low:
                factors.append(rope["factor"])
            else:
                smooth = (context / wavelength - low) / (high - low)
                factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
        yield "rope_freqs.weight", np.array(factors, np.float32)
    if rope.get("rope_type") == "longrope":
        yield "rope_factors_long.weight", np.array(rope["long_factor"], np.float32)
        yield "rope_factors_short.weight", np.array(rope["short_factor"], np.float32)
