"""Tensors of a file that are not read because they say once more what something else says: that is compared.

One that says something else is a model that this is not, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.positions import sinusoids
from llminspect.core.rotary import plain_speeds


@dataclass(frozen=True)
class Copy:
    pattern: str
    """Of the tensors' names."""
    of: str = ""
    """The array of the core that they repeat."""
    agrees: Callable[[Array, Any], bool] | None = None
    """Whether one says what the configuration says. With neither, no version of the model reads them."""


def differs(found: Array, copy: Copy, original: Array, config: Any) -> bool:
    """Whether a tensor is not what it should repeat."""
    if copy.of:
        return not np.array_equal(found.reshape(-1), original.reshape(-1))
    return copy.agrees is not None and not copy.agrees(found, config)


def row_numbers(found_T: Array, _: Any) -> bool:
    """0, 1, 2 …: the rows of a table of positions."""
    return np.array_equal(found_T.reshape(-1), np.arange(found_T.size))


def causal_rule(found_TS: Array, _: Any) -> bool:
    """Ones on and below the diagonal: a token sees itself and those before it."""
    tokens = found_TS.shape[-1]
    return found_TS.size == tokens**2 and np.array_equal(found_TS.reshape(tokens, tokens), np.tri(tokens))


def hiding_number(found: Array, _: Any) -> bool:
    """What stands for −∞ in the scores of tokens that are not seen."""
    return found.size == 1 and float(found.reshape(-1)[0]) <= -1e3


def speeds(found_P: Array, config: Any) -> bool:
    """How fast each pair of the rotation turns, as plain or as slowed; kept in 16 bits by some files."""
    rotary = config.rotary
    stated = (plain_speeds(rotary.width, rotary.base), rotary.speeds(1))
    return any(len(each) == found_P.size and np.allclose(found_P, each, rtol=1e-2, atol=1e-6) for each in stated)


def waves(found_TD: Array, config: Any) -> bool:
    """Sines and cosines of each position (Vaswani et al. 2017, section 3.5); of fairseq's the row of padding is 0."""
    width = config.sizes.D
    if found_TD.ndim != 2 or found_TD.shape[1] != width or not config.waves:
        return False
    computed_TD = sinusoids(found_TD, np.arange(len(found_TD)), width, config.waves)
    padding_id = 1 if config.first_wave else config.padding_id
    if padding_id is not None:
        computed_TD[padding_id : padding_id + 1] = 0
    return np.allclose(found_TD, computed_TD, rtol=1e-2, atol=1e-2)


ROTATION = Copy("*.rotary_emb.inv_freq", agrees=speeds)
