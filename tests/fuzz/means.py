"""A file of means to ablate with, as `--save FILE.npz` of an ablation writes it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis import ablation
from llminspect.arguments.experiments import parse_place
from llminspect.errors import UserError
from llminspect.opening import open_model
from tests.fuzz import mutate
from tests.fuzz.refusal import refused

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

WIDTHS = (1, 4, 4, 4)
READ = {"path": "docs", "files": 1, "pieces": 2, "tokens": 9, "whole": True, "skipped": 0}


def changed_means(random: Random) -> bytes:
    text = mutate.json_bytes(random, mutate.changed_json(random, READ) if random.random() < 0.5 else READ)
    read = np.frombuffer(text, np.uint8).astype(random.choice(("u1", "u1", "u1", "i8", "f4", "c8")))
    arrays = {
        "ablate_0.0": np.ones(random.choice(WIDTHS), random.choice(("f4", "f4", "f8", "i8", "f2"))),
        ablation.READ: read,
        ablation.OF: np.frombuffer(ablation.hash_of_weights(open_model("toy-attention")).encode(), np.uint8),
    }
    if random.random() < 0.1:
        arrays[random.choice(list(arrays))] = np.array([np.nan, 1e300])
    if random.random() < 0.1:
        del arrays[random.choice(list(arrays))]
    data = io.BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]
    whole = data.getvalue()
    return mutate.changed_bytes(random, whole) if random.random() < 0.3 else whole


def check_means(folder: Path, content: bytes) -> bool:
    path, model = folder / "means.npz", open_model("toy-attention")
    path.write_bytes(content)
    try:
        found = ablation._read(model, path, [parse_place(model, "0.0", "--ablate")])
    except UserError as error:
        return refused(error)
    assert all(np.isfinite(mean).all() for mean in found.means.values())
    return True
