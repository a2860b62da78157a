"""Record in tests/golden/ what transformers computes in float64 with SmolLM2 and MiniLM.

Needs torch and transformers (the extra `golden`), SmolLM2 as a folder that transformers opens, and MiniLM's own folder:

    python -m tests.bench.folder smollm2 FOLDER
    python tools/record_published.py FOLDER ~/.cache/llminspect/models/minilm

The texts stay, and so do the ids of `tokenize` (llama.cpp's) and of `forward`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_exact import exact, in_float64
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
TOP, DIGITS = 10, 10


def written(values: Any) -> Any:
    """Floats with as many digits as are compared and then some, so that the file stays small."""
    return float(f"{values:.{DIGITS}g}") if isinstance(values, float) else [written(value) for value in values]


def opened(kind: Any, folder: str) -> Any:
    # Read as it is written, in float32; safetensors knows that by torch's name for it.
    model = kind.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    with in_float64():
        return exact(model)


def of_text(model: Any, entry: dict[str, Any]) -> dict[str, Any]:
    """The most probable tokens after the text, the last query's attention, the lengths of its vectors, what follows."""
    output = model(torch.tensor([entry["ids"]]), output_attentions=True, output_hidden_states=True, use_cache=False)
    logits_V = output.logits[0, -1]
    chances_V, best = logits_V.softmax(-1), logits_V.topk(TOP).indices.tolist()
    rows = {}
    for place in entry["attention_last_query"]:
        layer, head = map(int, place.split("."))
        rows[place] = written(output.attentions[layer][0, head, -1].tolist())
    ids = list(entry["ids"])
    for _ in entry["greedy"]:
        ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return {
        "text": entry["text"],
        "ids": entry["ids"],
        "top": [
            {"id": id, "logit": written(float(logits_V[id])), "prob": written(float(chances_V[id]))} for id in best
        ],
        "attention_last_query": rows,
        "hidden_norms": written([float(stream[0, -1].norm()) for stream in output.hidden_states]),
        "greedy": ids[len(entry["ids"]) :],
    }


def smollm2(folder: str) -> None:
    target = GOLDEN / "smollm2.json"
    recorded = json.loads(target.read_text("utf-8"))
    model = opened(AutoModelForCausalLM, folder)
    recorded["note"] = (
        "SmolLM2-135M-Instruct.Q4_1 dequantized; ids from llama.cpp, numbers from PyTorch in float64 "
        "(tools/record_published.py). greedy: 24 tokens, stops after id 2."
    )
    with in_float64():
        recorded["forward"] = [of_text(model, entry) for entry in recorded["forward"]]
    target.write_text(json.dumps(recorded, ensure_ascii=False, indent=0) + "\n", "utf-8")


def minilm(folder: str) -> None:
    target = GOLDEN / "minilm_sentences.npz"
    with np.load(target) as recorded:
        texts = recorded["texts"]
    model = opened(AutoModel, folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with in_float64():
        vectors = [model(torch.tensor([tokenizer.encode(text)])).last_hidden_state[0].mean(0).numpy() for text in texts]
    np.savez_compressed(target, texts=texts, vectors=np.stack(vectors))


if __name__ == "__main__":
    with torch.no_grad():
        smollm2(sys.argv[1])
        minilm(sys.argv[2])
