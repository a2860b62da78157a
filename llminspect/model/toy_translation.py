"""`toy-translate`: an encoder and a decoder of one layer each, with the three attentions of a translator.

Vaswani et al. 2017, "Attention Is All You Need", in whole numbers, without norms, feed-forward steps and positions.
"cet avocat parle." becomes "this lawyer speaks.", "cet avocat mûrit." becomes "this avocado ripens.": *avocat* means
both, and only the verb tells which.

1. The encoder attends to the source: a noun looks for its verb and takes along what does such a thing (+1 a person,
   −1 a plant). All others look at themselves.
2. The decoder attends to the target so far: each word looks at itself and notes what comes after its kind of word.
3. The cross attention looks in the source for that, and brings what it says: the kind of word, and the thing.

The numbers of a token: determiner, noun, verb, end; thing; English; and what comes next, determiner, noun, verb, end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.model.config import Config, Sizes
from llminspect.model.spec import TensorSpec

WORDS = {
    "cet": (1, 0, 0, 0, 0, 0),
    "avocat": (0, 1, 0, 0, 0, 0),
    "parle": (0, 0, 1, 0, +1, 0),
    "mûrit": (0, 0, 1, 0, -1, 0),
    ".": (0, 0, 0, 1, 0, 2),
    "<s>": (0, 0, 0, 1, 0, 1),
    "this": (1, 0, 0, 0, 0, 2),
    "lawyer": (0, 1, 0, 0, +1, 2),
    "avocado": (0, 1, 0, 0, -1, 2),
    "speaks": (0, 0, 1, 0, +1, 2),
    "ripens": (0, 0, 1, 0, -1, 2),
}
START, END = "<s>", "."
_KINDS, _THING, _NEXT = slice(0, 4), 4, slice(6, 10)
_LOOK = 8
"""Of a query: 8 / √4 = 4, and e⁴ = 55 times the weight of what is not looked for."""


@dataclass(frozen=True, kw_only=True)
class TranslationConfig(Config):
    start_id: int = list(WORDS).index(START)
    encoder_layers: int = 1

    @property
    def encoder(self) -> TranslationConfig:
        return replace(self, causal=False)


SIZES = Sizes(L=1, D=10, H=1, K=1, E=4, F=0, V=len(WORDS), context=1024, U=5)
CONFIG = TranslationConfig(sizes=SIZES, activation="none", norm_epsilon=0.0)
STEPS = ("encoder.layers.0.attention", "layers.0.attention", "layers.0.cross_attention")


def tensors(_: Any) -> list[TensorSpec]:
    parts = {"query": "HE D", "key": "KE D", "value": "KU D", "output": "D HU"}
    maps = [TensorSpec(f"{step}.{part}.weight", shape) for step in STEPS for part, shape in parts.items()]
    return [TensorSpec("embedding.weight", "V D"), *maps]


def arrays() -> dict[str, Array]:
    """Its matrices, each row and column by what it is about."""
    embedding_VD = np.zeros((len(WORDS), 10), np.float32)
    embedding_VD[:, :6] = list(WORDS.values())
    kinds_ED, thing_UD, all_UD = (np.zeros(shape, np.float32) for shape in ((4, 10), (5, 10), (5, 10)))
    kinds_ED[:, _KINDS] = np.eye(4)
    thing_UD[4, _THING] = all_UD[4, _THING] = 1
    all_UD[:4, _KINDS] = np.eye(4)
    # A noun (row 2 is what a verb answers to) looks for a verb, every other word for its own kind.
    noun_to_verb_ED = kinds_ED.copy()
    noun_to_verb_ED[:, 1] = (0, 0, 1, 0)
    next_ED = np.zeros((4, 10), np.float32)
    next_ED[:, _NEXT] = np.eye(4)
    to_thing_DU, to_next_DU, to_all_DU = (np.zeros((10, 5), np.float32) for _ in range(3))
    to_thing_DU[_THING, 4] = to_all_DU[_THING, 4] = 1
    to_next_DU[_NEXT, :4] = np.roll(np.eye(4), 1, axis=0)  # After a determiner a noun, …, after the end the first.
    to_all_DU[_KINDS, :4] = 4 * np.eye(4)
    made = {
        STEPS[0]: (_LOOK * noun_to_verb_ED, kinds_ED, thing_UD, to_thing_DU),
        STEPS[1]: (_LOOK * kinds_ED, kinds_ED, all_UD, to_next_DU),
        STEPS[2]: (_LOOK * next_ED, kinds_ED, all_UD, to_all_DU),
    }
    found: dict[str, Array] = {"embedding.weight": embedding_VD}
    for step, matrices in made.items():
        for part, matrix in zip(("query", "key", "value", "output"), matrices, strict=True):
            found[f"{step}.{part}.weight"] = matrix
    return found
