"""Record what transformers' `generate` writes by a model's own settings, for tests/commands/test_model_settings.py.

    PYTHONPATH=. python tools/record_generation.py tests/golden   (writes tests/golden/generation.json)

Needs torch and transformers (the extra `golden`). For each case the settings go into `generation_config.json` (or into
`config.json`, as in older models) beside a model of the golden data, both read the same folder, and everything is
computed in float64: the tokens, of beams the scores, and of what is drawn the path and the distributions on it.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import golden_exact
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers import __version__ as version

from tests.drawn import make_all

SOURCE, PROMPT = [7, 31, 5, 90, 12, 66, 3], [7, 31, 5, 90, 31, 5]
DRAWN = {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.95}
BEAMS = {"num_beams": 3}
WORDS = {"bad_words_ids": "BEST"}
"""The words that the model would write without: its third token, and its first two in a row."""
SETTINGS: list[dict[str, Any]] = [
    WORDS,
    {"suppress_tokens": "BEST"},
    {"begin_suppress_tokens": "BEST"},
    {"begin_suppress_tokens": "BEST", "forced_bos_token_id": 9},
    {"forced_eos_token_id": 3},
    {"forced_eos_token_id": [3, 4], "min_new_tokens": 4, "eos_token_id": "BEST"},
    {"eos_token_id": "BEST"},
    {"eos_token_id": "BEST", "min_length": 9},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 0.6},
    {"repetition_penalty": 1.7},
    DRAWN,
    {"do_sample": True},
    {**DRAWN, **WORDS, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "forced_eos_token_id": 3},
    BEAMS,
    {**BEAMS, "repetition_penalty": 1.6},
    {**BEAMS, "no_repeat_ngram_size": 2, "length_penalty": 0.4},
    {**BEAMS, "eos_token_id": "BEST", "early_stopping": True},
    {**BEAMS, "eos_token_id": "BEST", "early_stopping": "never", "length_penalty": 2.0},
    {**BEAMS, "eos_token_id": "BEST"},
    {**BEAMS, "eos_token_id": "BEST", "suppress_tokens": [5, 6, 7], "min_new_tokens": 3},
    {**BEAMS, **WORDS, "forced_bos_token_id": 9, "forced_eos_token_id": 3},
    # As the translators of OPUS-MT are published.
    {"num_beams": 4, **WORDS, "forced_eos_token_id": 0, "renormalize_logits": True, "max_length": 512},
    {"do_sample": True, "num_return_sequences": 2, "top_k": 5},
    {"max_new_tokens": 5, "max_length": 9, "forced_eos_token_id": 3},
    {"max_length": 10, "forced_eos_token_id": 3},
    {"max_length": 11, **BEAMS, "num_return_sequences": 3},
    {"encoder_no_repeat_ngram_size": 1, "repetition_penalty": 1.2},
    {"encoder_no_repeat_ngram_size": 2, "encoder_repetition_penalty": 3.0, "no_repeat_ngram_size": 2},
    {**BEAMS, "encoder_no_repeat_ngram_size": 3, "encoder_repetition_penalty": 0.5, "repetition_penalty": 1.3},
]
FAMILIES = {"marian": True, "t5": True, "llama": False, "gpt2": False}
TOKENS, LONG = 8, 512


def filled(setting: dict[str, Any], best: list[int]) -> dict[str, Any]:
    """With what the model writes without settings in the place of BEST."""
    values = {"bad_words_ids": [[best[2]], best[:2], [best[0], best[1], best[1]]]}
    return {key: values.get(key, [best[4], best[3]]) if value == "BEST" else value for key, value in setting.items()}


def exact(model: Any) -> Any:
    double = golden_exact.exact(model)
    double.generation_config = model.generation_config
    return double


def record(golden: Path, family: str, setting: dict[str, Any], older: bool) -> dict[str, Any]:
    """One case. Its own ends are those of the setting alone, so that what is compared has some length."""
    source, prompt = FAMILIES[family], SOURCE if FAMILIES[family] else PROMPT
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / family
        shutil.copytree(golden / family, folder)
        config = json.loads((folder / "config.json").read_text())
        stated = setting if older else {"eos_token_id": config.get("eos_token_id"), **setting}
        if source and not older:
            stated["decoder_start_token_id"] = config["decoder_start_token_id"]
        if older:
            (folder / "config.json").write_text(json.dumps({**config, **setting}))
        else:
            (folder / "generation_config.json").write_text(json.dumps(stated))
        # As long as they say themselves, unless that is longer than what is recorded.
        length = {} if setting.get("max_length", LONG) < LONG else {"max_new_tokens": TOKENS}
        torch.manual_seed(1)
        kind = AutoModelForSeq2SeqLM if source else AutoModelForCausalLM
        model = kind.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
        with torch.no_grad(), golden_exact.in_float64():
            found = exact(model).generate(
                torch.tensor([prompt]), return_dict_in_generate=True, output_scores=True, use_cache=False,
                num_return_sequences=setting.get("num_return_sequences", setting.get("num_beams", 1)), **length,
            )  # fmt: skip
    start = 1 if source else len(prompt)
    ends = stated.get("eos_token_id") if "eos_token_id" in stated else config.get("eos_token_id")
    case = {"family": family, "older": older, "prompt": prompt, "settings": stated}
    case["tokens"] = length.get("max_new_tokens")
    case["ids"] = [cut(ids[start:].tolist(), ends) for ids in found.sequences]
    if "num_beams" in setting:
        case["scores"] = found.sequences_scores.tolist()
    elif setting.get("do_sample"):
        case["distributions"] = [
            [round(value, 12) for value in torch.softmax(step[0], -1).tolist()] for step in found.scores[:3]
        ]
    return case


def cut(ids: list[int], ends: int | list[int] | None) -> list[int]:
    """Without what fills up shorter rows after their end."""
    stops = ends if isinstance(ends, list) else [ends]
    first = next((index for index, token_id in enumerate(ids) if token_id in stops), len(ids))
    return ids[: first + 1]


def main(golden: Path) -> None:
    make_all(golden)
    logging.disable(logging.WARNING)
    cases = []
    for family in FAMILIES:
        best = record(golden, family, {"eos_token_id": None}, False)["ids"][0]
        for index, setting in enumerate(SETTINGS):
            cases.append(record(golden, family, filled(setting, best), older=index % 3 == 2))
    document = {"transformers": version, "tokens": TOKENS, "cases": cases}
    (golden / "generation.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(f"{len(cases)} cases, {(golden / 'generation.json').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
