"""transformers from float32 safetensors, eager attention. Arguments: the folder, the number of threads."""

import sys
import time

import torch
from serve import ids, serve
from transformers import AutoModelForCausalLM

torch.set_num_threads(int(sys.argv[2]))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], attn_implementation="eager", dtype=torch.float32)


@torch.no_grad()  # type: ignore[untyped-decorator]
def run(tokens: int, capture: bool = True) -> None:
    model(torch.tensor([ids(tokens)]), output_attentions=capture, logits_to_keep=1)


@torch.no_grad()  # type: ignore[untyped-decorator]
def decode(tokens: int) -> float:
    done = model(torch.tensor([ids(16)]), use_cache=True, logits_to_keep=1)
    start = 0.0
    for index in range(tokens + 1):
        if index == 1:
            start = time.perf_counter()
        best = done.logits[:, -1:].argmax(-1)
        done = model(best, past_key_values=done.past_key_values, use_cache=True)
    return (time.perf_counter() - start) / tokens


serve(run=run, decode=decode)
