"""`toy-induction`: two layers of attention in whole numbers that continue what was there before.

"Mr Toad met Mrs Hen. Mr" goes on with "Toad": after the same word it was Toad. Two heads do it together (Olsson et al.
2022, "In-context Learning and Induction Heads"), and two others have nothing to do with it:

- 0.0 looks at the token before, whatever it is, and notes it (*previous*).
- 1.0 looks for a token whose previous one is what stands here, and writes that token into the *answer*. The first token
  has none before it, and is left out.
- 0.1 looks at the first token, and notes it (*first*).
- 1.1 looks at itself, and writes the first once more.

The numbers of a token: which word it is, at which place it stands, then previous, first and answer. There are no norms
and no feed-forward steps, so every edge between the parts is known: docs/13-circuits.md finds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.model.config import Config, Sizes
from llminspect.model.spec import TensorSpec

WORDS = ("Mr", "Mrs", "Toad", "Hen", "met", ".")
PLACES = 15
_V = len(WORDS)
_WORD, _PLACE = slice(0, _V), slice(_V, _V + PLACES)
_PREVIOUS, _FIRST, _ANSWER = (slice(_V + PLACES + at * _V, _V + PLACES + (at + 1) * _V) for at in range(3))
WIDTH, HEAD = _ANSWER.stop, 16
AT_A_PLACE, FOR_A_WORD, LOUD = 96, 24, 8
"""Of a query: 96 / √16 = 24, and 24 / √16 = 6; and what the answer is multiplied by."""


SIZES = Sizes(L=2, D=WIDTH, H=2, K=2, E=HEAD, F=0, V=_V, context=PLACES, U=_V)
CONFIG = Config(sizes=SIZES, activation="none", tied=False, norm_epsilon=0.0)


def tensors(_: Any) -> list[TensorSpec]:
    parts = {"query": "HE D", "key": "KE D", "value": "KU D", "output": "D HU"}
    maps = [
        TensorSpec(f"layers.{layer}.attention.{part}.weight", shape)
        for layer in range(2)
        for part, shape in parts.items()
    ]
    ends = [TensorSpec("embedding.weight", "V D"), TensorSpec("position.weight", f"{PLACES} D")]
    return [*ends, *maps, TensorSpec("unembedding.weight", "V D")]


def arrays() -> dict[str, Array]:
    """Its matrices, each row and column by what it is about."""
    embedding_VD, position_PD, unembedding_VD = (np.zeros((rows, WIDTH), np.float32) for rows in (_V, PLACES, _V))
    embedding_VD[:, _WORD], position_PD[:, _PLACE] = np.eye(_V), np.eye(PLACES)
    unembedding_VD[:, _ANSWER] = LOUD * np.eye(_V)
    place_ED, nothing_ED = (np.zeros((HEAD, WIDTH), np.float32) for _ in range(2))
    place_ED[:PLACES, _PLACE] = np.eye(PLACES)
    before_ED, first_ED, first_key_ED = place_ED.copy(), nothing_ED.copy(), nothing_ED.copy()
    before_ED[:PLACES, _PLACE] = np.eye(PLACES, k=1)  # Who stands at place 3 looks for place 2.
    first_ED[0, _WORD] = first_key_ED[0, _PLACE.start] = 1  # Every word does.
    word_ED, previous_ED = nothing_ED.copy(), nothing_ED.copy()
    word_ED[:_V, _WORD] = previous_ED[:_V, _PREVIOUS] = np.eye(_V)
    word_ED[_V, _WORD], previous_ED[_V, _PLACE.start] = 1, -1  # Whatever the word: not the first place.
    heads = {
        0: [
            (AT_A_PLACE * before_ED, place_ED, moved(_WORD, _PREVIOUS)),
            (AT_A_PLACE * first_ED, first_key_ED, moved(_WORD, _FIRST)),
        ],
        1: [
            (FOR_A_WORD * word_ED, previous_ED, moved(_WORD, _ANSWER)),
            (AT_A_PLACE * place_ED, place_ED, moved(_FIRST, _FIRST)),
        ],
    }
    found = {"embedding.weight": embedding_VD, "position.weight": position_PD, "unembedding.weight": unembedding_VD}
    for layer, of in heads.items():
        name = f"layers.{layer}.attention"
        found[f"{name}.query.weight"] = np.concatenate([query for query, _, _ in of])
        found[f"{name}.key.weight"] = np.concatenate([key for _, key, _ in of])
        found[f"{name}.value.weight"] = np.concatenate([value for _, _, (value, _) in of])
        found[f"{name}.output.weight"] = np.concatenate([output for _, _, (_, output) in of], axis=1)
    return found


def moved(read: slice, written: slice) -> tuple[Array, Array]:
    """What a head reads as its value, [U, D], and where it writes it, [D, U]."""
    value_UD, output_DU = np.zeros((_V, WIDTH), np.float32), np.zeros((WIDTH, _V), np.float32)
    value_UD[:, read] = output_DU[written] = np.eye(_V)
    return value_UD, output_DU
