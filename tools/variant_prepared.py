"""One drawn model of `variants.py` in a folder, and what the reference computes of it: drawn once more, up to `DRAWS`
times, where the reference makes nothing of what was drawn."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import golden_exact
import numpy as np  # noqa: TC002
import torch
import variant_checks as checks
from variant_computed import EAGER, changed, computed_by_reference, eager, saved, texts, with_head
from variant_draw import Draw  # noqa: TC002
from variant_written import rewritten

DRAWS = 6
MOST_ROUNDING = 1e-3
"""Where the reference's float32 is off by more of the largest value, nothing can be said."""


class Unknown(Exception):
    """The reference makes nothing of what was drawn."""


@dataclass(frozen=True)
class Prepared:
    draw: Draw
    folder: Path
    given: dict[str, torch.Tensor]
    wanted: np.ndarray
    bound: float
    single: Any
    exact: Any
    plain: Path | None
    """The folder as the reference wrote it, and its model, where a GGUF file of it is to be compared."""
    double: Any
    kind: str
    half: bool
    """Whether the file holds bfloat16."""
    foreign: str | None
    """A key of another family that was added."""


def prepared(make: Any, seed: int, folder: Path, gguf: bool) -> tuple[Prepared | str, list[str]]:
    """The model, or why nothing is known; and why it was drawn once more, a reason each time."""
    reasons: list[str] = []
    while len(reasons) < DRAWS:
        place = folder / str(len(reasons))
        place.mkdir()
        try:
            return _drawn(make, f"{seed} {len(reasons)}" if reasons else seed, place, gguf), reasons
        except Exception as error:  # Of every class: it is the reference's own.
            reasons.append(f"{type(error).__name__}: {error!s:.200}")
            shutil.rmtree(place)
    return reasons[-1], reasons


def _drawn(make: Any, seed: int | str, folder: Path, gguf: bool) -> Prepared:
    random = Random(seed)
    number = seed if isinstance(seed, int) else random.getrandbits(62)
    generator = torch.Generator().manual_seed(number)
    torch.manual_seed(number)
    draw = with_head(random, make(random))
    model, written, half = saved(draw, folder, random, generator)
    given = texts(draw, model, random, generator)
    plain, double = None, None
    if gguf and draw.kind in ("decoder", "encoder", "encoder-decoder", "masked"):
        plain = folder / "plain"
        plain.mkdir()
        for file in list(folder.glob("*.*")):
            shutil.copy(file, plain)
        double = draw.model.from_pretrained(plain, dtype=torch.float32, **EAGER).eval()
        with golden_exact.in_float64():
            double = golden_exact.exact(double)
    config, foreign = rewritten(random, written, draw)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    single = draw.model.from_pretrained(folder, dtype=torch.float32, **eager(draw)).eval()
    once = computed_by_reference(single, draw, given)
    with golden_exact.in_float64():
        exact = golden_exact.exact(single)
        wanted = computed_by_reference(exact, draw, given)
    rounding = checks.distance(once, wanted)
    if not rounding < MOST_ROUNDING:
        raise Unknown(f"the reference itself is off by {rounding:.1e} in float32")
    if draw.change is not None:
        changed(draw, folder)
    bound, kind = max(checks.BOUND, 8 * rounding), written.get("model_type", "")
    return Prepared(draw, folder, given, wanted, bound, single, exact, plain, double, kind, half, foreign)
