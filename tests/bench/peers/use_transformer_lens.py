"""TransformerLens on the same weights, run_with_cache. Arguments: the folder, the number of threads."""

import sys

import torch
from serve import ids, serve
from transformer_lens import HookedTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(int(sys.argv[2]))
torch.set_grad_enabled(False)
model = HookedTransformer.from_pretrained_no_processing(
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    hf_model=AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32),
    tokenizer=AutoTokenizer.from_pretrained(sys.argv[1]),
)


def run(tokens: int, capture: bool = True) -> None:
    names = (lambda name: name.endswith("hook_pattern")) if capture else (lambda name: False)
    model.run_with_cache(torch.tensor([ids(tokens)]), names_filter=names)


serve(run=run)
