"""What questions about features and about two models are asked of: written by a process of its own, whose memory is
not that of what it measures."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

FEATURES, KEPT, LAYER = 8192, 32, 10
CHANGED, FACTOR = "layers.12.mlp.down_proj.weight", 1.2


def write_dictionary(folder: Path, width: int) -> None:
    """A random TopK autoencoder of the stream after a layer, as SAELens saves it."""
    draw = np.random.default_rng(5)
    rows_FD = draw.normal(size=(FEATURES, width)).astype(np.float32)
    rows_FD /= np.linalg.norm(rows_FD, axis=1, keepdims=True)
    arrays = {"W_enc": np.ascontiguousarray(rows_FD.T), "W_dec": rows_FD, "b_enc": np.zeros(FEATURES, np.float32),
              "b_dec": np.zeros(width, np.float32)}  # fmt: skip
    folder.mkdir(exist_ok=True)
    save_file(arrays, folder / "sae_weights.safetensors")
    config = {"architecture": "topk", "k": KEPT, "d_in": width, "d_sae": FEATURES,
              "hook_name": f"blocks.{LAYER}.hook_resid_post", "apply_b_dec_to_input": True}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


def write_other(model: Path, folder: Path) -> None:
    """The model with one matrix changed, that of what a feed-forward step writes."""
    shutil.copytree(model, folder, dirs_exist_ok=True)
    changed = False
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        if CHANGED in header:
            start, end = header[CHANGED]["data_offsets"]
            at = 8 + length + start
            array = np.memmap(path, np.float32, "r+", at, ((end - start) // 4,))
            array *= np.float32(FACTOR)
            array.flush()
            changed = True
    if not changed:
        raise SystemExit(f"{model} has no {CHANGED}")


if __name__ == "__main__":
    given, dictionary, other = map(Path, sys.argv[1:])
    write_dictionary(dictionary, json.loads((given / "config.json").read_text())["hidden_size"])
    write_other(given, other)
