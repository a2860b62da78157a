"""Small random models with settings drawn from what published configurations hold: is each opened right, or refused?

    python tools/variants.py [--count 500] [--seed 0] [--family llama] [--keep FOLDER]

Needs torch and transformers (the extra `golden`). For each variant a configuration is drawn (`variant_settings.py`),
saved with random weights, and its `config.json` rewritten as published files are (keys of older versions, keys left
out, keys that say nothing added). The reference then opens that folder, as this program does, and both compute: `right`
within 1e-5 of the largest value (or eight times what the reference's own float32 is off), `refused` with its reason, or
`wrong`, which exits with 1. --keep holds the folders of those that are wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import golden_older
import make_golden
import numpy as np
import torch
import variant_encoders
import variant_experts
import variant_latent
import variant_later
import variant_seq2seq
import variant_settings
import variant_state
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

import llminspect
from llminspect.analysis.prompt import decoder_and_target, prompt_of_ids
from llminspect.analysis.vectors import vectors_at
from llminspect.errors import UserError

BOUND = 1e-5
EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
HARMLESS: dict[str, Any] = {
    "model_max_length": 4096,
    "seq_length": 2048,
    "max_new_tokens": 512,
    "eos_token_ids": [2, 3],
    "license": "apache-2.0",
    "sliding_window_pattern": None,
    "use_mrope": False,
    "quantization_config": None,
    "unsloth_version": "2025.3.1",
    "use_cache": False,
    "pretraining_tp": 4,
    "transformers.js_config": {"dtype": "q4"},
    "rope_interleaved": False,
    "attention_dropout": 0.1,
    "output_hidden_states": True,
    "bos_token_id": None,
    "mlp_bias": False,
    "max_length": 20,
    "tokenizer_class": "LlamaTokenizer",
    "image_token_index": None,
}
"""Keys that published configurations hold beside those of their class, and that change nothing where it is not its."""


def rewritten(random: Random, written: dict[str, Any], draw: variant_settings.Draw) -> dict[str, Any]:
    """The same configuration as another version or another tool writes it."""
    found = dict(written)
    if random.random() < 0.4:
        found = golden_older.older_form(found)
    if random.random() < 0.3:
        defaults = type(draw.config)().to_dict()
        found = {key: value for key, value in found.items() if key in ("model_type",) or value != defaults.get(key)}
    if random.random() < 0.3:  # A key left out, whatever the value: the reference takes its default.
        for key in random.sample(sorted(found), k=min(2, len(found))):
            if key != "model_type" and not shape_of(key):
                found.pop(key)
    for key in random.sample(sorted(HARMLESS), k=random.choice((0, 0, 1, 2))):
        found.setdefault(key, HARMLESS[key])
    if random.random() < 0.15 and draw.kind == "decoder":
        found["is_causal"] = random.random() < 0.4
    return found


def shape_of(key: str) -> bool:
    """Whether a default of full size would come in the place of a small model's."""
    return key.endswith(
        ("_size", "_heads", "_layers", "_dim", "_ff", "_kv", "_model", "_embd", "_positions")
    ) or key in (
        *("n_layer", "n_head", "n_inner", "dim", "head_dim", "layer_types", "num_experts", "num_local_experts"),
        *("no_rope_layers", "rope_parameters", "rope_scaling", "relative_attention_num_buckets", "tie_word_embeddings"),
        *("decoder_start_token_id", "num_experts_per_tok", "mlp_only_layers", "feed_forward_proj"),
    )


def expected(
    draw: variant_settings.Draw, folder: Path, ids: torch.Tensor, target: torch.Tensor
) -> tuple[np.ndarray, float]:
    """What the reference makes of a folder, in float64: logits, or the last hidden state of an encoder without them;
    and how far its own float32 is off."""
    model = draw.model.from_pretrained(folder, **EAGER).eval()
    given = {"decoder_input_ids": target} if draw.kind == "encoder-decoder" else {}
    part = "last_hidden_state" if draw.kind == "encoder" else "logits"

    def taken(output: Any) -> np.ndarray:
        if hasattr(output, "start_logits"):
            return np.stack([output.start_logits[0].numpy(), output.end_logits[0].numpy()], axis=-1)
        return getattr(output, part)[0].numpy()

    with torch.no_grad():
        ids = ids[None] if draw.model.__name__.endswith("MultipleChoice") else ids
        single = taken(model(input_ids=ids, **given))
        with make_golden.in_float64():
            exact = type(model)(model.config).double().eval()
            weights = {key: value for key, value in model.state_dict().items() if "embed_positions" not in key}
            exact.load_state_dict(weights, strict=False)
            double = taken(exact(input_ids=ids, **given))
    return double, distance(single, double)


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a part of the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def computed(draw: variant_settings.Draw, folder: Path, ids: list[int], target: list[int]) -> np.ndarray:
    model = llminspect.open_model(str(folder))
    if draw.kind == "encoder-decoder":
        return model.logits(model.run(target, cache=model.encode_source(ids)).stream_TD)
    if draw.kind == "read-twice":
        model, prompt = decoder_and_target(model, prompt_of_ids(ids, None, None), None, None)
        ids = prompt.ids
    stream_TD = model.run(ids).stream_TD
    if model.architecture.head is not None:
        return model.label_scores(ids, stream_TD)
    return vectors_at(model, ids, "final") if draw.kind == "encoder" else model.logits(stream_TD)


def variant(make: Any, seed: int, keep: Path | None) -> tuple[str, str]:
    """The family and "right", or what was refused or is wrong; "unknown" where the reference itself makes nothing."""
    random, generator = Random(seed), torch.Generator().manual_seed(seed)
    draw = make(random)
    with tempfile.TemporaryDirectory(prefix="variant-") as name:
        folder = Path(name)
        try:
            model = draw.model(draw.config).eval()
            make_golden.randomize(model, generator, None)
            model.save_pretrained(folder)
            (folder / "generation_config.json").unlink(missing_ok=True)
            config = rewritten(random, json.loads((folder / "config.json").read_text()), draw)
            (folder / "config.json").write_text(json.dumps(config, indent=2))
            most = min(model.config.vocab_size, 40)
            ids = torch.randint(3, most, (1, random.choice((1, 9, 30))), generator=generator)
            target = torch.randint(3, most, (1, 7), generator=generator)
            if draw.kind == "read-twice":  # Labels are read at an end, and mBART's decoder starts with the last token.
                ids[:, -1] = model.config.eos_token_id
            wanted, rounding = expected(draw, folder, ids, target)
        except Exception as error:
            return draw.family, f"unknown: {type(error).__name__}: {error!s:.200}"
        answer = judged(draw, folder, ids[0].tolist(), target[0].tolist(), wanted, max(BOUND, 8 * rounding))
        if answer.startswith("wrong") and keep is not None:
            shutil.copytree(folder, keep / f"{seed}-{draw.family}", dirs_exist_ok=True)
        return draw.family, answer


def judged(
    draw: variant_settings.Draw, folder: Path, ids: list[int], target: list[int], wanted: np.ndarray, bound: float
) -> str:
    try:
        found = computed(draw, folder, ids, target)
    except UserError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    if found.shape != wanted.shape:
        return f"wrong: {found.shape} instead of {wanted.shape}"
    off = distance(found, wanted)
    return "right" if off <= bound else f"wrong: off by {off:.1e} of the largest value"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", help='or "later": those of variant_later.py')
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    set_verbosity_error()
    disable_progress_bar()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    modules = (
        variant_settings,
        variant_later,
        variant_latent,
        variant_encoders,
        variant_experts,
        variant_seq2seq,
        variant_state,
    )
    every = [make for module in modules for make in module.FAMILIES]
    families = [make for make in every if options.family in (None, make.__name__)]
    if options.family == "later":
        families = list(variant_later.FAMILIES)
    counts: Counter[tuple[str, str]] = Counter()
    number = 0
    for seed in range(options.seed, options.seed + options.count):
        family, answer = variant(families[seed % len(families)], seed, options.keep)
        counts[family, answer.split(":")[0]] += 1
        number += answer.startswith("wrong")
        if answer != "right":
            print(f"{seed} {family}: {answer}", flush=True)
    print()
    kinds = ("right", "refused", "wrong", "unknown")
    for family in [*dict.fromkeys(name for name, _ in counts), "all"]:
        row = [
            sum(
                count
                for (name, kind), count in counts.items()
                if name in (family,) or family == "all"
                if kind == column
            )
            for column in kinds
        ]
        print(f"{family:12}", *(f"{value:5} {column}" for value, column in zip(row, kinds, strict=True)))
    sys.exit(bool(number))


if __name__ == "__main__":
    main()
