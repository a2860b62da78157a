"""Record integrated gradients that PyTorch finds on golden models: `tests/golden/integrated.npz`.

    cd tools && PYTHONPATH=.. python record_integrated.py

Needs torch and transformers (the extra `golden`). Of the log-probability of a token after the text, by the
vectors of the tokens, from zeros and from those of another text: the sum over 2,000 points amid equal steps,
in float64 (Sundararajan et al. 2017, section 5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from make_golden import exact, in_float64
from record_gradients import opened

from tests.drawn import make_all
from tests.model.golden import FOLDER, Golden

CASES = ("llama", "gpt2", "gemma2", "bert")
FROM_ZERO = ("gpt2", "bert")
"""Norms of the others know no mean: near zero the slope has no bounds, and no number of equal steps is enough."""
ANSWER, TOKENS, STEPS = 5, 6, 2_000


def recorded(name: str, plain: Any) -> dict[str, np.ndarray[Any, Any]]:
    """`zero` and `text`: each token's part; `zero_ends` and `text_ends`: the number after the baseline and the text."""
    model, ids = exact(plain), torch.tensor(Golden(name).expected["ids"][:TOKENS])
    table, found = model.get_input_embeddings(), {}
    word_vectors = table(ids).detach()
    firsts = {"text": table(ids.flip(0)).detach()}
    if name in FROM_ZERO:
        firsts["zero"] = torch.zeros_like(word_vectors)
    for kind, first in firsts.items():
        places = (torch.arange(STEPS, dtype=torch.float64) + 0.5) / STEPS
        slopes = torch.zeros_like(word_vectors)
        for place in places.split(100):
            vectors = (first + place[:, None, None] * (word_vectors - first)).requires_grad_()
            slopes += torch.autograd.grad(number(model, vectors).sum(), vectors)[0].sum(0) / STEPS
        found[kind] = ((word_vectors - first) * slopes).sum(-1).numpy()
        found[f"{kind}_ends"] = number(model, torch.stack([first, word_vectors])).detach().numpy()
    return found


def number(model: Any, vectors: torch.Tensor) -> torch.Tensor:
    """Log p of the answer at the last position."""
    return model(inputs_embeds=vectors).logits[:, -1].log_softmax(-1)[:, ANSWER]


if __name__ == "__main__":
    make_all()
    plain = {name: opened(name) for name in CASES}
    with in_float64():
        every = {f"{name}/{key}": value for name in CASES for key, value in recorded(name, plain[name]).items()}
    np.savez_compressed(FOLDER / "integrated.npz", **every)
