"""Record perplexities by the loss of transformers, for tests/commands/test_perplexity.py.

Needs torch and transformers, which the project itself does not, and SmolLM2 as a folder that transformers opens:

    python -m tests.bench.folder smollm2 FOLDER
    PYTHONPATH=. python tools/record_perplexity.py tests/golden/perplexity.json FOLDER tests/golden/llama
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch
from golden_exact import exact, in_float64
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers import __version__ as version

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it "
    "was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of "
    "Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing "
    "before us, we were all going direct to Heaven, we were all going direct the other way. In short, 1775 umbrellas "
    "and a bus to the moon."
)
ENTRIES: dict[str, list[int | None]] = {"smollm2": [None, 32, 7], "llama": [None, 20]}
"""The windows of each model; None: as much as the model can hold at once."""


def perplexity(model: torch.nn.Module, ids: list[int], window: int) -> float:
    """As "Perplexity of fixed-length models" of transformers' documentation does it: windows that overlap by half, of
    each the tokens that were not scored before."""
    total, before, start = 0.0, 0, 0
    while before < len(ids):
        stop = min(start + window, len(ids))
        given = torch.tensor([ids[start:stop]])
        labels = given.clone()
        labels[:, : before - start] = -100
        # The loss is a mean over the labels that are asked for; the first of a window has nothing before it.
        scored = int((labels[:, 1:] != -100).sum())
        total += float(model(given, labels=labels).loss) * scored
        before, start = stop, stop - window // 2
    return math.exp(total / (len(ids) - 1))


def main(target: str, *folders: str) -> None:
    entries = []
    for (name, windows), folder in zip(ENTRIES.items(), folders, strict=True):
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
        context = model.config.max_position_embeddings
        if name == "smollm2":
            text, ids = TEXT, PreTrainedTokenizerFast.from_pretrained(folder).encode(TEXT)
        else:  # Without a tokenizer: numbers, more of them than the model can hold.
            text, ids = None, [(7 * index * index + 3) % model.config.vocab_size for index in range(2 * context + 22)]
        for window in windows:
            with in_float64():
                value = perplexity(exact(model), ids, window or context)
            entries.append({"model": name, "text": text, "ids": ids, "window": window, "perplexity": value})
    how = f"tools/record_perplexity.py: transformers {version}, torch {torch.__version__}, float64, eager attention"
    Path(target).write_text(json.dumps({"made": how, "entries": entries}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with torch.no_grad():
        main(*sys.argv[1:])
