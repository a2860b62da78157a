"""Record gradients that PyTorch finds on golden models: `tests/golden/gradients.npz`.

    cd tools && PYTHONPATH=.. python record_gradients.py

Needs torch and transformers (the extra `golden`). Of the difference of two logits after the last token, by the stream
as it enters each layer and by the attention weights; everything is computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers as t
from make_golden import exact, in_float64

from tests.drawn import make_all
from tests.model.golden import FOLDER, Golden

CASES = {
    "llama": t.LlamaForCausalLM,
    "gpt2": t.GPT2LMHeadModel,
    "gemma2": t.Gemma2ForCausalLM,
    "mixtral": t.MixtralForCausalLM,
    "bamba": t.BambaForCausalLM,
    "bert": t.BertForMaskedLM,
    "t5": t.T5ForConditionalGeneration,
}
ANSWERS = (5, 9)
TOKENS = 6


def opened(name: str) -> Any:
    return CASES[name].from_pretrained(FOLDER / name, attn_implementation="eager", experts_implementation="eager")


def recorded(name: str, plain: Any) -> dict[str, np.ndarray[Any, Any]]:
    """By the name of what the gradient is by; `value`: the difference itself."""
    expected = Golden(name).expected
    model = exact(plain)
    given = {"input_ids": torch.tensor(expected["ids"][:TOKENS])[None]}
    if "source_ids" in expected:
        # The target starts with the start token.
        target = torch.nn.functional.pad(given["input_ids"], (1, 0), value=model.config.decoder_start_token_id)
        given = {"input_ids": torch.tensor(expected["source_ids"])[None], "decoder_input_ids": target}
    output = model(**given, output_hidden_states=True, output_attentions=True, use_cache=False)
    wanted = {
        "hidden": output.get("decoder_hidden_states", output.get("hidden_states"))[:-1],
        "attentions": output.get("decoder_attentions", output.get("attentions")),
        "encoder_hidden": output.get("encoder_hidden_states", ())[:-1],
        "encoder_attentions": output.get("encoder_attentions"),
        "cross_attentions": output.get("cross_attentions"),
    }
    value = output.logits[0, -1, ANSWERS[0]] - output.logits[0, -1, ANSWERS[1]]
    found = {"value": value.detach().numpy()}
    for key, arrays in wanted.items():
        if arrays:
            slopes = torch.autograd.grad(value, arrays, retain_graph=True)
            found[key] = torch.stack([slope[0] for slope in slopes]).numpy()
    return found


if __name__ == "__main__":
    make_all()
    plain = {name: opened(name) for name in CASES}
    with in_float64():
        every = {f"{name}/{key}": value for name in CASES for key, value in recorded(name, plain[name]).items()}
    np.savez_compressed(FOLDER / "gradients.npz", **every)
