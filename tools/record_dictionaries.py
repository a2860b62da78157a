"""Small random sparse dictionaries as SAELens and sparsify save them, with the numbers that these compute.

    python -m tools.record_dictionaries tests/golden/dictionaries

Needs torch, sae-lens, eai-sparsify and their dependencies. What is recorded is what their own code gives for the same
vectors: the activations and the rebuilt vectors. Gemma Scope's archives are read by SAELens as a JumpReLU.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

WIDTH, FEATURES, TOKENS = 8, 24, 6
X_TD = np.random.default_rng(5).normal(size=(TOKENS, WIDTH)).astype(np.float32) * 2 + 0.3

HOOK = {"hook_name": "blocks.1.hook_resid_post", "model_name": "random", "sae_lens_version": "6.0.0"}
ACROSS = {**HOOK, "hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out"}
BASE = {"d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32", "device": "cpu", "reshape_activations": "none"}
SAELENS: dict[str, dict[str, Any]] = {
    "standard": {"architecture": "standard", "apply_b_dec_to_input": True, "normalize_activations": "none"},
    "length": {
        "architecture": "standard", "apply_b_dec_to_input": False, "normalize_activations": "constant_norm_rescale",
    },
    "topk": {"architecture": "topk", "k": 4, "apply_b_dec_to_input": True, "normalize_activations": "none"},
    "topk-by-length": {
        "architecture": "topk", "k": 4, "apply_b_dec_to_input": True, "normalize_activations": "none",
        "rescale_acts_by_decoder_norm": True,
    },
    "jumprelu": {"architecture": "jumprelu", "apply_b_dec_to_input": False, "normalize_activations": "layer_norm"},
    "gated": {"architecture": "gated", "apply_b_dec_to_input": True, "normalize_activations": "none"},
    "transcoder": {"architecture": "transcoder", "d_out": WIDTH, "normalize_activations": "none"},
    "skip-transcoder": {"architecture": "skip_transcoder", "d_out": WIDTH, "normalize_activations": "layer_norm"},
    "jumprelu-skip-transcoder": {
        "architecture": "jumprelu_skip_transcoder", "d_out": WIDTH, "normalize_activations": "none",
    },
}  # fmt: skip
OLD: dict[str, dict[str, Any]] = {
    "old-topk": {
        "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}, "architecture": "standard",
        "apply_b_dec_to_input": False, "finetuning_scaling_factor": False, "context_size": 128, "model_name": "random",
        "hook_name": "blocks.1.hook_resid_pre", "hook_layer": 1, "hook_head_index": None, "prepend_bos": True,
        "dataset_path": "none", "dataset_trust_remote_code": True, "normalize_activations": "none",
        "sae_lens_training_version": "3.20.0", "neuronpedia_id": None, "model_from_pretrained_kwargs": {},
        "d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32", "device": "cpu",
    },
    "older": {
        "model_name": "random", "hook_point": "blocks.1.hook_resid_post", "hook_point_layer": 1,
        "hook_point_head_index": None, "dataset_path": "none", "is_dataset_tokenized": False, "context_size": 128,
        "use_cached_activations": False, "d_in": WIDTH, "n_batches_in_buffer": 128, "total_training_tokens": 300,
        "store_batch_size": 32, "device": "cpu", "seed": 42, "dtype": "torch.float32", "expansion_factor": 3,
        "l1_coefficient": 8e-05, "lr": 0.0004, "use_ghost_grads": True, "d_sae": FEATURES,
    },
}  # fmt: skip
SPARSIFY: dict[str, dict[str, Any]] = {
    "sparsify/layers.1": {"activation": "topk", "k": 5},
    "sparsify/layers.1.mlp": {"activation": "groupmax", "k": 6},
    "sparsify-transcoder/layers.1.mlp": {"activation": "topk", "k": 5, "transcode": True, "skip_connection": True},
}


def shake(module: torch.nn.Module, seed: int) -> None:
    """Random numbers for every parameter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            drawn = torch.randn(parameter.shape, generator=generator) * (0.5 if parameter.ndim == 2 else 0.3)
            parameter.copy_(drawn.abs() if name == "threshold" else drawn)


def saelens(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    from sae_lens import SAE
    from safetensors.torch import save_file

    found = {}
    for seed, (name, config) in enumerate({**SAELENS, **OLD}.items()):
        stated = dict(config)
        if name in SAELENS:
            across = "transcoder" in name
            stated = {**BASE, **config, "metadata": ACROSS if across else HOOK}
            stated |= {"apply_b_dec_to_input": False} if across else {}
        made = SAE.from_dict(stated) if name in SAELENS else SAE.from_dict({**BASE, "architecture": "standard"})
        shake(made, seed)
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        state = {key: value.contiguous() for key, value in made.state_dict().items()}
        save_file(state, place / "sae_weights.safetensors")
        (place / "cfg.json").write_text(json.dumps(stated, indent=1) + "\n")
        opened = SAE.load_from_disk(place)
        x = torch.from_numpy(X_TD)
        with torch.no_grad():
            found[f"{name}.activations"], found[f"{name}.rebuilt"] = opened.encode(x).numpy(), opened(x).numpy()
    return found


def sparsify(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    from sparsify import SparseCoder, SparseCoderConfig

    found = {}
    for seed, (name, config) in enumerate(SPARSIFY.items()):
        made = SparseCoder(WIDTH, SparseCoderConfig(num_latents=FEATURES, **config))
        shake(made, 100 + seed)
        made.save_to_disk(folder / name)
        opened, x = SparseCoder.load_from_disk(folder / name), torch.from_numpy(X_TD)
        with torch.no_grad():
            encoded = opened.encode(x)
            dense = torch.zeros(TOKENS, FEATURES).scatter_(1, encoded.top_indices, encoded.top_acts)
            found[f"{name}.activations"], found[f"{name}.rebuilt"] = dense.numpy(), opened(x).sae_out.numpy()
    return found


def gemma_scope(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """An archive as published, and what SAELens's JumpReLU gives for its arrays."""
    from sae_lens import SAE

    made = SAE.from_dict({**BASE, "architecture": "jumprelu", "apply_b_dec_to_input": False})
    shake(made, 200)
    place = folder / "gemma-scope-random-res" / "layer_1" / "width_24" / "average_l0_5"
    place.mkdir(parents=True, exist_ok=True)
    np.savez(place / "params.npz", **{key: value.numpy() for key, value in made.state_dict().items()})
    x, name = torch.from_numpy(X_TD), str(place.relative_to(folder))
    with torch.no_grad():
        return {f"{name}.activations": made.encode(x).numpy(), f"{name}.rebuilt": made(x).numpy()}


def toy(folder: Path) -> None:
    """One feature for each of the two numbers of the toy's stream, and a third that reads their sum from 10 on."""
    from safetensors.torch import save_file

    place = folder / "toy"
    place.mkdir(parents=True, exist_ok=True)
    state = {
        "W_enc": torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), "b_enc": torch.tensor([0.0, 0.0, -10.0]),
        "W_dec": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), "b_dec": torch.zeros(2),
    }  # fmt: skip
    save_file(state, place / "sae_weights.safetensors")
    metadata = {"hook_name": "blocks.0.hook_resid_post", "model_name": "toy", "sae_lens_version": "6.0.0"}
    stated = {**BASE, **SAELENS["standard"], "d_in": 2, "d_sae": 3, "metadata": metadata}
    (place / "cfg.json").write_text(json.dumps(stated, indent=1) + "\n")


if __name__ == "__main__":
    root = Path(sys.argv[1])
    toy(root)
    recorded = {**saelens(root), **sparsify(root), **gemma_scope(root)}
    np.savez_compressed(root / "recorded.npz", x=X_TD, **recorded)
