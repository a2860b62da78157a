"""What files of Llamas by other names hold, of those of a Llama."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.model.families import exaone, internlm2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


def by_other_names(arrays: Arrays, names: dict[str, str], front: str) -> Arrays:
    renamed = {".".join(names.get(part, part) for part in name.split(".")): array for name, array in arrays.items()}
    return {front + name.removeprefix("model.") if "model." in name else name: renamed[name] for name in renamed}


def as_exaone(config: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    keys = {"num_hidden_layers": "num_layers", "hidden_act": "activation_function"}
    keys["rms_norm_eps"] = "layer_norm_epsilon"
    renamed = by_other_names(arrays, exaone.NAMES, "transformer.")
    return {keys.get(key, key): value for key, value in config.items()}, renamed


def as_internlm2(config: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    """Each group: its queries, its key, its value."""
    groups, plain = config["num_key_value_heads"], dict(arrays)
    for layer in range(config["num_hidden_layers"]):
        front = f"model.layers.{layer}.self_attn"
        query, key, value = (
            plain.pop(f"{front}.{part}_proj.weight").reshape(groups, -1, config["head_dim"], config["hidden_size"])
            for part in "qkv"
        )
        fused = np.concatenate([query, key, value], axis=1)
        plain[f"{front}.q_proj.weight"] = fused.reshape(-1, config["hidden_size"])
    return {**config, "bias": False}, by_other_names(plain, internlm2.NAMES, "model.")
