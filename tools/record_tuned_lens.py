"""A random tuned lens of a golden model as the package saves it, and the logits that it gives.

    python -m tools.record_tuned_lens tests/golden

Needs torch, transformers and tuned-lens 0.2.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from tuned_lens.nn.lenses import TunedLens

IDS = [1, 4, 2, 7, 3]

if __name__ == "__main__":
    root = Path(sys.argv[1])
    model = AutoModelForCausalLM.from_pretrained(root / "llama", dtype=torch.float32, attn_implementation="eager")
    model.config.name_or_path = "random"
    lens, generator = TunedLens.from_model(model), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for translator in lens:
            for parameter in translator.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        folder = root / "tuned-lens"
        lens.save(folder)
        states = model(torch.tensor([IDS]), output_hidden_states=True).hidden_states[:-1]
        logits = np.stack([lens(state[0], layer).numpy() for layer, state in enumerate(states)])
    np.savez_compressed(folder / "recorded.npz", ids=IDS, logits=logits)
    small = folder / "small"
    small.mkdir(exist_ok=True)
    torch.save(
        {f"{layer}.{name}": torch.randn(shape, generator=generator) for layer in range(2)
         for name, shape in (("weight", (8, 8)), ("bias", (8,)))},
        small / "params.pt",
    )  # fmt: skip
    config = {**lens.config.to_dict(), "d_model": 8, "num_hidden_layers": 2}
    (small / "config.json").write_text(json.dumps(config) + "\n")
