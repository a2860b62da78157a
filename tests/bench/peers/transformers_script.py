"""What a person writes to see attention or the next token with transformers.

Arguments: attend or forward, folder, text.
"""

import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
what, folder, text = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
with torch.no_grad():
    out = model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False), output_attentions=what == "attend")
if what == "attend":
    print(json.dumps([layer[0].tolist() for layer in out.attentions]))
else:
    best = out.logits[0, -1].softmax(-1).topk(10)
    print(
        json.dumps([[tokenizer.decode(i), p] for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)])
    )
