"""Small random models with settings drawn from what published configurations hold: is each opened right, or refused?

    python tools/variants.py [--count 500] [--seed 0] [--family llama] [--keep FOLDER]

Needs torch and transformers (the extra `golden`); the project's folder must be on PYTHONPATH. For each variant a
configuration is drawn (`variant_*.py`: the families in turn), saved with random weights, some in bfloat16, and its
`config.json` rewritten as published files are (keys of older versions, keys left out or null, keys that say nothing
added). The reference then opens that folder, as this program does, and both compute: `right` within 1e-5 of the largest
value (or eight times what the reference's own float32 is off), `rounded` within 1e-4 where the same steps in float64
are within 1e-6 (norms make the roundings of a small stream large), `foreign` where a key of another family was added
and the file is refused, `refused` with its reason, `wrong`, or `unknown` where the reference makes nothing of several
draws (how often it made nothing of one is said at the end). A share of those that are right is asked for more
(`variant_checks.py`): the streams and weights inside, the tokens that follow with and without the cache, the same
weights in a GGUF file (`unsaid`: llama.cpp has no place for a setting). What is not right is printed with its seed;
where anything is wrong the program ends with 1. --keep holds the folders of those.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import golden_exact
import numpy as np
import torch
import variant_checks as checks
import variant_encoders
import variant_experts
import variant_further
import variant_grown
import variant_kin
import variant_latent
import variant_later
import variant_older
import variant_pictures
import variant_seq2seq
import variant_settings
import variant_state
from transformers.utils.logging import disable_progress_bar, set_verbosity_error
from variant_computed import EAGER, computed, eager
from variant_prepared import Prepared, prepared

import llminspect
from llminspect.errors import UserError
from llminspect.model.params import Params

MODULES = (
    *(variant_settings, variant_later, variant_latent, variant_encoders, variant_experts, variant_seq2seq),
    *(variant_state, variant_older, variant_grown, variant_kin, variant_pictures, variant_further),
)


def variant(make: Any, seed: int, keep: Path | None, share: float) -> tuple[str, dict[str, str], list[str]]:
    """The family; of its logits and of what more is compared, "right", or what was refused or is wrong, "unknown" where
    the reference itself makes nothing; and why it was drawn more than once."""
    chosen = {name: Random(f"{seed} {name}").random() < share for name in ("inside", "following", "gguf")}
    with tempfile.TemporaryDirectory(prefix="variant-") as name, torch.no_grad():
        found, reasons = prepared(make, seed, Path(name), chosen["gguf"])
        if isinstance(found, str):
            return make.__name__, {"logits": f"unknown: {found}"}, reasons
        answers = {"logits": judged(lambda: of_logits(found))}
        if found.foreign is not None and answers["logits"].startswith("refused"):
            answers["logits"] = f"foreign: {found.foreign} is another family's; {answers['logits']}"
        if found.half:
            answers["bfloat16"] = answers["logits"]
        if answers["logits"] == "right":
            answers |= compared_further(found, chosen)
        if keep is not None and any(answer.startswith("wrong") for answer in answers.values()):
            shutil.copytree(found.folder, keep / f"{seed}-{found.draw.family}", dirs_exist_ok=True)
        return found.draw.family, answers, reasons


WITHOUT_INSIDES = ("rwkv7", "squeezebert", "longformer")
"""Kinds of which the reference gives no weights, or scores in place of them, or those of a window."""


def compared_further(found: Prepared, chosen: dict[str, bool]) -> dict[str, str]:
    """What else is asked of one whose logits are right."""
    answers: dict[str, str] = {}
    draw, given = found.draw, found.given
    opened = llminspect.open_model(str(found.folder))
    words = opened.architecture.head is None and draw.kind not in ("encoder", "read-twice")
    # Falcon gives its weights by its own attention alone, and heads that read twice none.
    plainly = eager(draw) is EAGER and draw.kind != "read-twice" and draw.family not in WITHOUT_INSIDES
    if chosen["inside"] and plainly and not draw.model.__name__.endswith("MultipleChoice"):
        answers["inside"] = judged(lambda: checks.inside((found.single, found.exact), opened, given))
    with golden_exact.in_float64():
        if chosen["following"] and words and opened.config.causal and opened.config.masking is None:
            answers["following"] = judged(lambda: checks.following(found.exact, opened, given))
        if found.plain is not None and found.kind in checks.kinds_in_gguf() and draw.change is None:
            plain, double = found.plain, found.double
            answers["gguf"] = judged(lambda: checks.in_gguf(double, plain, given, found.bound, draw.kind))
    return answers


def of_logits(its: Prepared) -> str:
    ids, target = its.given["input_ids"], its.given.get("decoder_input_ids", its.given["input_ids"])
    model = llminspect.open_model(str(its.folder))

    def compared(model: Any, bound: float) -> str:
        found = computed(its.draw, model, ids.reshape(-1).tolist(), target[0].tolist())
        if found.shape != its.wanted.shape and found.size == its.wanted.size:
            found = found.reshape(its.wanted.shape)  # One label of a token has no axis there.
        return checks.compared(found, its.wanted, bound)

    answer = compared(model, its.bound)
    if answer != "right" and compared(model, ROUNDED) == "right" and compared(doubled(model), EXACT) == "right":
        return answer.replace("wrong", "rounded", 1)
    return answer


ROUNDED, EXACT = 1e-4, 1e-6
"""How far off float32 may be where norms make the roundings of a small stream large, if the same steps in float64 are
as near as this to the reference in float64, parts of which stay in float32: the formulas are then its own."""


def doubled(model: Any) -> Any:
    """The same with weights in float64, in which it computes then."""
    arrays = {name: np.asarray(model.params[name]).astype(np.float64) for name in model.params.arrays}
    return replace(model, params=Params(arrays))


def judged(answer: Callable[[], str]) -> str:
    try:
        return answer()
    except UserError as error:
        return f"refused: {error} {error.hint or ''}".strip()
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"


COLUMNS = ("right", "rounded", "foreign", "refused", "wrong", "unknown")
MORE = ("bfloat16", "inside", "following", "gguf")
NOT_COMPARED = ("unknown", "unsaid", "foreign")


def table(counts: Counter[tuple[str, str, str]]) -> list[str]:
    """By family, in Markdown: the answers about logits, and of what more was compared how much is right."""
    lines = [f"| family | {' | '.join((*COLUMNS, *MORE))} |", "|---" + "|---:" * (len(COLUMNS) + len(MORE)) + "|"]
    for family in [*sorted({name for name, _, _ in counts}), "all"]:
        rows = {key: value for key, value in counts.items() if family in (key[0], "all")}

        def number(part: str, answer: str | None, rows: dict[Any, int] = rows) -> int:
            return sum(value for (_, its, one), value in rows.items() if its == part and answer in (one, None))

        cells = [str(number("logits", answer)) for answer in COLUMNS]
        for part in MORE:
            compared = number(part, None) - sum(number(part, answer) for answer in NOT_COMPARED)
            cells.append(f"{number(part, 'right')} of {compared}")
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
    more: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + options.count):
        family, answers, reasons = variant(families[seed % len(families)], seed, options.keep, options.share)
        more.update(f"{family}: {reason}" for reason in reasons)
        for part, answer in answers.items():
            counts[family, part, answer.split(":")[0]] += 1
            if answer != "right" and part != "bfloat16":
                print(f"{seed} {family} {part}: {answer}", flush=True)
    lines = table(counts)
    print(f"\ndrawn once more, as the reference makes nothing of the first: {more.total()}")
    for reason, count in sorted(more.items()):
        print(f"  {count} times {reason}" if count > 1 else f"  {reason}")
    print("\n" + "\n".join(lines if options.count > 1 else lines[-1:]))
    if options.table is not None:
        options.table.write_text("\n".join(lines) + "\n")
    sys.exit(any(answer == "wrong" for _, _, answer in counts))


if __name__ == "__main__":
    main()
