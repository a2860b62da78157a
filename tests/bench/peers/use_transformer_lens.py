"""TransformerLens (4 and later) on the same weights, run_with_cache. Arguments: the folder, the number of threads."""

import sys

import torch
from serve import ids, serve
from transformer_lens.model_bridge import TransformerBridge

torch.set_num_threads(int(sys.argv[2]))
torch.set_grad_enabled(False)
model = TransformerBridge.boot_transformers(sys.argv[1], dtype=torch.float32)


def run(tokens: int, capture: bool = True) -> None:
    names = (lambda name: name.endswith("hook_pattern")) if capture else (lambda name: False)
    model.run_with_cache(torch.tensor([ids(tokens)]), names_filter=names)


serve(run=run)
