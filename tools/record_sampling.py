"""Record what the filters of transformers keep, for tests/core/test_sampling.py.

Needs torch and transformers, which the project itself does not:

    python -m llminspect forward "The capital of France is" --save a.npz   (one for each text)
    python tools/record_sampling.py tests/golden/sampling.npz a.npz b.npz …
    python tools/record_sampling.py tests/golden/filters.npz   (of logits made here)

The filters are those that `generate` itself puts together (GenerationMixin._get_logits_processor), in its order.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers import __version__ as version

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
WIDTH = 40
ALONE: dict[str, list[float]] = {
    "repetition_penalty": [0.7, 1.1, 1.3, 2.0],
    "temperature": [0.3, 2.5],
    "top_k": [1, 3, 17, 40, 1000],
    "top_p": [0.08, 0.31, 0.62, 0.93, 0.9999],
    "min_p": [0.0, 0.01, 0.12, 0.5, 1.0],
    "typical": [0.04, 0.22, 0.53, 0.91, 0.999],
}
TOGETHER: dict[str, float] = {
    "repetition_penalty": 1.4,
    "temperature": 0.6,
    "top_k": 23,
    "top_p": 0.87,
    "min_p": 0.06,
    "typical": 0.77,
}


def every_setting() -> list[dict[str, float]]:
    """Each filter alone at several values, and every set of two or more of them."""
    alone = [{name: value} for name, values in ALONE.items() for value in values]
    sets = itertools.chain.from_iterable(itertools.combinations(TOGETHER, size) for size in range(2, 7))
    return alone + [{name: TOGETHER[name] for name in names} for names in sets]


def made_logits() -> tuple[list[str], np.ndarray[Any, Any], list[list[int]]]:
    """Names, logits [cases, WIDTH]: flat and peaked ones, equals, some that are gone (−∞); and the ids so far, some of
    them several times, of positive and of negative logits."""
    random = np.random.default_rng(11)
    bell = random.normal(size=WIDTH)
    rows = {
        "flat": np.zeros(WIDTH),
        "nearly flat": 0.01 * bell,
        "bell": 3 * bell,
        "all negative": 2 * bell - 30,
        "all positive": 2 * bell + 30,
        "peaked": np.where(np.arange(WIDTH) == 7, 18.0, bell),
        "far apart": 400 * bell,
        "equals": random.integers(-3, 4, WIDTH).astype(float),
        "two at the top": np.where(np.isin(np.arange(WIDTH), (3, 21)), 5.0, bell),
        "half gone": np.where(random.permutation(WIDTH) % 2, 2 * bell, -np.inf),
        "equals and gone": np.where(random.permutation(WIDTH) % 3, np.round(2 * bell), -np.inf),
        "one left": np.where(np.arange(WIDTH) == 5, -1.5, -np.inf),
        "falling": -np.log(np.arange(1, WIDTH + 1)),
    }
    logits = np.array(list(rows.values())).astype(np.float32)
    seen = [[int(row.argmax()), 2, 2, 5, 9, 11, 5, 39] for row in logits]
    return list(rows), logits, seen


def scores_of(setting: dict[str, float], logits_V: np.ndarray[Any, Any], ids: list[int]) -> torch.Tensor:
    """What is left of the logits: those cut away are −∞."""
    # What is not asked for is off; the default of top-k is 50.
    given = {"top_k": 0, **{"typical_p" if name == "typical" else name: value for name, value in setting.items()}}
    config = GenerationConfig(do_sample=True, **given)
    processors = MODEL._get_logits_processor(config, len(ids), device="cpu")
    scores = torch.tensor(logits_V.astype(np.float64))[None]
    return processors(torch.tensor(ids)[None], scores)[0]


def record_made(target: str) -> None:
    names, logits, seen = made_logits()
    settings = every_setting()
    cases = list(zip(logits, seen, strict=True))
    scores = torch.stack([scores_of(setting, *case) for case in cases for setting in settings])
    scores = scores.reshape(len(cases), len(settings), WIDTH)
    np.savez_compressed(
        target,
        names=names,
        logits=logits,
        ids=np.array(seen),
        settings=[repr(setting) for setting in settings],
        kept=np.packbits(torch.isfinite(scores).numpy(), axis=-1),
        probabilities=torch.softmax(scores, -1).numpy().astype(np.float32),
        transformers=version,
    )


def record_read(target: str, sources: list[str]) -> None:
    logits, ids, probabilities = [], [], []
    for source in sources:
        with np.load(source) as saved:
            # A third of the vocabulary is enough for a test, and a third of the size.
            logits.append(saved["logits"][-1][:VOCABULARY])
            ids.append(saved["ids"][saved["ids"] < VOCABULARY])
    kept = np.zeros((len(logits), len(SETTINGS), VOCABULARY), dtype=bool)
    for text, (row_logits, seen) in enumerate(zip(logits, ids, strict=True)):
        for index, setting in enumerate(SETTINGS):
            scores = scores_of(setting, row_logits, seen.tolist())
            kept[text, index] = torch.isfinite(scores).numpy()
            probabilities.append(torch.softmax(scores, -1).numpy()[kept[text, index]].max())
    np.savez_compressed(
        target,
        logits=np.stack(logits),
        ids=np.concatenate(ids),
        lengths=[len(row_logits) for row_logits in ids],
        settings=[repr(setting) for setting in SETTINGS],
        kept=np.packbits(kept, axis=-1),
        largest=np.reshape(probabilities, kept.shape[:2]),
    )


if __name__ == "__main__":
    # Only its `generate` is of interest.
    MODEL = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WIDTH,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            eos_token_id=0,
        )
    )
    if sys.argv[2:]:
        record_read(sys.argv[1], sys.argv[2:])
    else:
        record_made(sys.argv[1])
