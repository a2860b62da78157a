"""Record what the reference's heads give on golden models: `tests/golden/heads.npz`.

    cd tools && PYTHONPATH=.. python record_heads.py

Needs torch and transformers (the extra `golden`). The models, made from golden ones, are those of
`tests/model/heads_of.py`; everything is computed in float64.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.drawn import make_all
from tests.model.golden import FOLDER
from tests.model.heads_of import CASES, ids_of, model_with

SECOND = ("seq_relationship_logits", "sop_logits", "mc_logits")


def recorded(name: str) -> np.ndarray[Any, Any]:
    """Of a text a number a label; of a span the start and the end of each token; of choices a number each; of two heads
    that which predicts no words."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = model_with(name, Path(folder))
        of_class = getattr(transformers, name)
        model = of_class.from_pretrained(path, attn_implementation="eager", dtype=torch.float64).eval()
        output = model(torch.tensor(ids_of(name))[None])
    if second := [key for key in SECOND if key in output]:
        return output[second[0]][0].numpy()
    if "start_logits" in output:
        return np.stack([output.start_logits[0].numpy(), output.end_logits[0].numpy()], axis=-1)
    return output.logits[0].numpy()


if __name__ == "__main__":
    make_all()
    np.savez_compressed(FOLDER / "heads.npz", **{name: recorded(name) for name in CASES})
