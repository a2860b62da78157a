"""One vector for the tokens of a text: means, the largest numbers, single tokens, and the layers that may follow.

The definitions are those of sentence-transformers (Reimers and Gurevych 2019, "Sentence-BERT", section 3), the mean
weighted by position that of Muennighoff 2022, "SGPT", section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import ACTIVATIONS
from llminspect.core.geometry import unit


def _weighted_mean(vectors_TD: Array) -> Array:
    weights_T1 = np.arange(1, len(vectors_TD) + 1, dtype=vectors_TD.dtype)[:, None]
    mean_1D: Array = (vectors_TD * weights_T1).sum(axis=0, keepdims=True) / weights_T1.sum()
    return mean_1D


MODES: dict[str, Callable[[Array], Array]] = {
    "first": lambda vectors_TD: vectors_TD[:1],
    "max": lambda vectors_TD: vectors_TD.max(axis=0, keepdims=True),
    "mean": lambda vectors_TD: vectors_TD.mean(axis=0, keepdims=True),
    "mean_sqrt": lambda vectors_TD: (
        vectors_TD.sum(axis=0, keepdims=True) / np.sqrt(vectors_TD.dtype.type(len(vectors_TD)))
    ),
    "weighted_mean": _weighted_mean,
    "last": lambda vectors_TD: vectors_TD[-1:],
}
"""Vectors [T, D] to one, [1, D]; in the order in which several are put side by side. mean_sqrt: the sum divided by the
square root of how many there are; weighted_mean: the first token counts once, the second twice …"""
AFTER_DENSE: dict[str, Callable[[Array], Array]] = {
    "identity": lambda vectors_ND: vectors_ND,
    "tanh": np.tanh,
    **{name: ACTIVATIONS[name] for name in ("relu", "gelu", "silu")},
}


@dataclass(frozen=True)
class Pool:
    """The vectors of the tokens as one: each of these `MODES`, side by side."""

    modes: tuple[str, ...]

    def __call__(self, vectors_TD: Array) -> Array:
        return np.concatenate([MODES[mode](vectors_TD) for mode in self.modes], axis=-1)

    def __str__(self) -> str:
        return " + ".join(self.modes)


@dataclass(frozen=True, eq=False)
class Dense:
    """f(x Wᵀ + b)."""

    weight_OI: Array
    bias_O: Array | None
    activation: str
    """Of `AFTER_DENSE`."""

    def __call__(self, vectors_NI: Array) -> Array:
        mapped_NO = vectors_NI @ self.weight_OI.T
        return AFTER_DENSE[self.activation](mapped_NO if self.bias_O is None else mapped_NO + self.bias_O)

    def __str__(self) -> str:
        outputs, inputs = self.weight_OI.shape
        return f"dense {inputs} to {outputs} {self.activation}"


@dataclass(frozen=True)
class Normalize:
    """The length becomes 1 (L2)."""

    def __call__(self, vectors_ND: Array) -> Array:
        return unit(vectors_ND)

    def __str__(self) -> str:
        return "normalize"


Step: TypeAlias = Pool | Dense | Normalize


def pooled(vectors_TD: Array, steps: Sequence[Step]) -> Array:
    """The vectors of a text's tokens after all steps: [1, D] where one pools, else [T, D]."""
    for step in steps:
        vectors_TD = step(vectors_TD)
    return vectors_TD
