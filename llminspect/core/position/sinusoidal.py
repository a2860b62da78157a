"""Sinusoidal positions: a vector of sines and cosines is added to each token's own.

Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.core.array import namespace
from llminspect.core.position.rotary import plain_speeds

if TYPE_CHECKING:
    from llminspect.core.array import Array


def sinusoids(like: Array, start: int, tokens: int, width: int) -> Array:
    """sin(position · 10000^(−2i / D)), then the cosines, [T, D]: the sines fill the first half (Marian's order)."""
    xp = namespace(like)
    speeds_P = xp.asarray(plain_speeds(width, 10000.0), dtype=like.dtype)
    angles_TP = (start + xp.arange(tokens, dtype=like.dtype))[:, None] * speeds_P
    # An odd width has one sine more than cosines.
    waves: Array = xp.concat([xp.sin(angles_TP), xp.cos(angles_TP[:, : width // 2])], axis=-1)
    return waves
