"""Record what the filters of transformers keep, for tests/core/test_sampling.py.

Needs torch and transformers, which the project itself does not:

    python -m llminspect forward "The capital of France is" --save a.npz   (one for each text)
    python tools/record_sampling.py tests/golden/sampling.npz a.npz b.npz …
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from transformers.generation import logits_process as hf

VOCABULARY = 16_384
SETTINGS: list[dict[str, float]] = [
    {"top_k": 5},
    {"top_k": 50},
    {"top_p": 0.5},
    {"top_p": 0.95},
    {"min_p": 0.05},
    {"min_p": 0.2},
    {"typical": 0.2},
    {"typical": 0.95},
    {"temperature": 0.7, "top_k": 40, "top_p": 0.9},
    {"temperature": 2.0, "top_k": 100, "top_p": 0.8, "min_p": 0.02},
    {"temperature": 1.3, "top_p": 0.9, "min_p": 0.01, "typical": 0.7},
    {"repetition_penalty": 1.3, "temperature": 1.5, "top_k": 30, "top_p": 0.9, "min_p": 0.03, "typical": 0.9},
]


def processors(setting: dict[str, float]) -> list[object]:
    """In the order in which `generate` applies them (GenerationMixin._get_logits_processor)."""
    makers = {
        "repetition_penalty": hf.RepetitionPenaltyLogitsProcessor,
        "temperature": hf.TemperatureLogitsWarper,
        "top_k": hf.TopKLogitsWarper,
        "top_p": hf.TopPLogitsWarper,
        "min_p": hf.MinPLogitsWarper,
        "typical": hf.TypicalLogitsWarper,
    }
    return [make(setting[name]) for name, make in makers.items() if name in setting]


def main(target: str, *sources: str) -> None:
    logits, ids, probabilities = [], [], []
    for source in sources:
        with np.load(source) as saved:
            # A third of the vocabulary is enough for a test, and a third of the size.
            logits.append(saved["logits"][-1][:VOCABULARY])
            ids.append(saved["ids"][saved["ids"] < VOCABULARY])
    kept = np.zeros((len(logits), len(SETTINGS), VOCABULARY), dtype=bool)
    for text, (own, seen) in enumerate(zip(logits, ids, strict=True)):
        for index, setting in enumerate(SETTINGS):
            scores = torch.tensor(own.astype(np.float64))[None]
            for process in processors(setting):
                scores = process(torch.tensor(seen)[None], scores)
            kept[text, index] = torch.isfinite(scores[0]).numpy()
            probabilities.append(torch.softmax(scores[0], -1).numpy()[kept[text, index]].max())
    np.savez_compressed(
        target,
        logits=np.stack(logits),
        ids=np.concatenate(ids),
        lengths=[len(own) for own in ids],
        settings=[repr(setting) for setting in SETTINGS],
        kept=np.packbits(kept, axis=-1),
        largest=np.reshape(probabilities, kept.shape[:2]),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
