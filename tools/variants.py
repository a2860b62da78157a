"""Small random models with settings drawn from what published configurations hold: is each opened right, or refused?

    python tools/variants.py [--count 500] [--seed 0] [--family llama] [--keep FOLDER]

Needs torch and transformers (the extra `golden`); the project's folder must be on PYTHONPATH. For each variant a
configuration is drawn (`variant_*.py`: the families in turn), saved with random weights, some in bfloat16, and its
`config.json` rewritten as published files are (keys of older versions, keys left out or null, keys that say nothing
added). The reference then opens that folder, as this program does, and both compute: `right` within 1e-5 of the largest
value (or eight times what the reference's own float32 is off), `refused` with its reason, `wrong`, or `unknown` where
the reference makes nothing of it. A share of those that are right is asked for more (`variant_checks.py`): the streams
and weights inside, the tokens that follow with and without the cache, the same weights in a GGUF file. What is not
right is printed with its seed; where anything is wrong the program ends with 1. --keep holds the folders of those.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable  # noqa: TC003
from pathlib import Path
from random import Random
from typing import Any

import golden_exact
import numpy as np  # noqa: TC002
import torch
import variant_checks as checks
import variant_encoders
import variant_experts
import variant_grown
import variant_kin
import variant_latent
import variant_later
import variant_older
import variant_seq2seq
import variant_settings
import variant_state
from transformers.utils.logging import disable_progress_bar, set_verbosity_error
from variant_computed import EAGER, changed, computed, computed_by_reference, eager, saved, texts, with_head
from variant_draw import Draw  # noqa: TC002
from variant_written import rewritten

import llminspect
from llminspect.errors import UserError

BOUND = checks.BOUND
MOST_ROUNDING = 1e-3
"""Where the reference's float32 is off by more of the largest value, nothing can be said."""
MODULES = (
    *(variant_settings, variant_later, variant_latent, variant_encoders, variant_experts, variant_seq2seq),
    *(variant_state, variant_older, variant_grown, variant_kin),
)


def variant(make: Any, seed: int, keep: Path | None, share: float) -> tuple[str, dict[str, str]]:
    """The family and, of its logits and of what more is compared, "right", or what was refused or is wrong; "unknown"
    where the reference itself makes nothing."""
    random, generator = Random(seed), torch.Generator().manual_seed(seed)
    chosen = {name: Random(f"{seed} {name}").random() < share for name in ("inside", "following", "gguf")}
    torch.manual_seed(seed)
    try:
        draw = with_head(random, make(random))
    except Exception as error:
        return make.__name__, {"logits": f"unknown: {type(error).__name__}: {error!s:.200}"}
    with tempfile.TemporaryDirectory(prefix="variant-") as name, torch.no_grad():
        folder = Path(name)
        try:
            model, written = saved(draw, folder, random, generator)
            given = texts(draw, model, random, generator)
            plain = folder / "plain"
            if chosen["gguf"] and draw.kind in ("decoder", "encoder", "encoder-decoder", "masked"):
                plain.mkdir()
                for file in list(folder.glob("*.*")):
                    shutil.copy(file, plain)
                double = draw.model.from_pretrained(plain, dtype=torch.float32, **EAGER).eval()
                with golden_exact.in_float64():
                    double = golden_exact.exact(double)
            config = rewritten(random, written, draw)
            (folder / "config.json").write_text(json.dumps(config, indent=2))
            single = draw.model.from_pretrained(folder, dtype=torch.float32, **eager(draw)).eval()
            once = computed_by_reference(single, draw, given)
            with golden_exact.in_float64():
                exact = golden_exact.exact(single)
                wanted = computed_by_reference(exact, draw, given)
            rounding = checks.distance(once, wanted)
            if not rounding < MOST_ROUNDING:
                return draw.family, {"logits": f"unknown: the reference itself is off by {rounding:.1e} in float32"}
            if draw.change is not None:
                changed(draw, folder)
        except Exception as error:
            return draw.family, {"logits": f"unknown: {type(error).__name__}: {error!s:.200}"}
        bound = max(BOUND, 8 * rounding)
        answers = {"logits": judged(lambda: of_logits(draw, folder, given, wanted, bound))}
        if answers["logits"] == "right":
            opened = llminspect.open_model(str(folder))
            alone = opened.architecture.head is None and draw.kind != "encoder" and draw.kind != "read-twice"
            with golden_exact.in_float64():
                if (
                    chosen["inside"]
                    and eager(draw) is EAGER  # Else it gives its weights by its own attention alone.
                    and not draw.model.__name__.endswith("MultipleChoice")
                    and draw.kind != "read-twice"
                ):
                    answers["inside"] = judged(lambda: checks.inside((single, exact), opened, given))
                if chosen["following"] and alone and opened.config.causal and opened.config.masking is None:
                    answers["following"] = judged(lambda: checks.following(exact, opened, given))
                if plain.exists() and written.get("model_type") in checks.kinds_in_gguf() and draw.change is None:
                    answers["gguf"] = judged(lambda: checks.in_gguf(double, plain, given, bound, draw.kind))
        if keep is not None and any(answer.startswith("wrong") for answer in answers.values()):
            shutil.copytree(folder, keep / f"{seed}-{draw.family}", dirs_exist_ok=True)
        return draw.family, answers


def of_logits(draw: Draw, folder: Path, given: dict[str, torch.Tensor], wanted: np.ndarray, bound: float) -> str:
    ids = given["input_ids"].reshape(-1).tolist()
    found = computed(
        draw, llminspect.open_model(str(folder)), ids, given.get("decoder_input_ids", given["input_ids"])[0].tolist()
    )
    if found.shape != wanted.shape and found.size == wanted.size:
        found = found.reshape(wanted.shape)  # One label of a token has no axis there.
    return checks.compared(found, wanted, bound)


def judged(answer: Callable[[], str]) -> str:
    try:
        return answer()
    except UserError as error:
        return f"refused: {error} {error.hint or ''}".strip()
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"


COLUMNS = ("right", "refused", "wrong", "unknown")
MORE = ("inside", "following", "gguf")


def table(counts: Counter[tuple[str, str, str]]) -> list[str]:
    """By family, in Markdown: the answers about logits, and of what more was compared how much is right."""
    lines = [f"| family | {' | '.join((*COLUMNS, *MORE))} |", "|---" + "|---:" * (len(COLUMNS) + len(MORE)) + "|"]
    for family in [*sorted({name for name, _, _ in counts}), "all"]:
        rows = {key: value for key, value in counts.items() if family in (key[0], "all")}

        def number(part: str, answer: str | None, rows: dict[Any, int] = rows) -> int:
            return sum(value for (_, its, one), value in rows.items() if its == part and answer in (one, None))

        cells = [str(number("logits", answer)) for answer in COLUMNS]
        cells += [f"{number(part, 'right')} of {number(part, None) - number(part, 'unknown')}" for part in MORE]
        lines.append(f"| {family} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="how many variants; the families take turns")
    parser.add_argument("--seed", type=int, default=0, help="of the first; each after it has the next")
    parser.add_argument("--family", nargs="+", help="these drawings alone")
    parser.add_argument("--share", type=float, default=0.1, help="of how many more than the logits is compared")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="holds the folders of those that are wrong")
    parser.add_argument("--table", type=Path, metavar="FILE", help="counts by family, in Markdown")
    options = parser.parse_args()
    set_verbosity_error()
    disable_progress_bar()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    every = [make for module in MODULES for make in module.FAMILIES]
    families = [make for make in every if not options.family or make.__name__ in options.family]
    counts: Counter[tuple[str, str, str]] = Counter()
    for seed in range(options.seed, options.seed + options.count):
        family, answers = variant(families[seed % len(families)], seed, options.keep, options.share)
        for part, answer in answers.items():
            counts[family, part, answer.split(":")[0]] += 1
            if answer != "right":
                print(f"{seed} {family} {part}: {answer}", flush=True)
    lines = table(counts)
    print("\n" + "\n".join(lines if options.count > 1 else lines[-1:]))
    if options.table is not None:
        options.table.write_text("\n".join(lines) + "\n")
    sys.exit(any(answer == "wrong" for _, _, answer in counts))


if __name__ == "__main__":
    main()
