"""Rows of masks that are made nought, as dropout does, and the others larger (Lin et al. 2023, ESM-2's own code)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.core.array import namespace

if TYPE_CHECKING:
    from llminspect.core.array import Array

BLANKED = 0.12
"""The share of tokens that were blanked when ESMs were trained, which the reference does not read from a file."""


def blanked(stream_TD: Array, blank_T: Array, hidden_S: Array | None) -> Array:
    """The rows, nought where `blank_T`, all multiplied by 0.88 over the share of tokens that are not."""
    xp, blank_T1 = namespace(stream_TD), blank_T[..., None].astype(stream_TD.dtype)
    there_T1 = xp.ones_like(blank_T1) if hidden_S is None else 1 - hidden_S[..., None].astype(stream_TD.dtype)
    tokens = xp.sum(there_T1, axis=-2, keepdims=True)
    kept = 1 - xp.sum(blank_T1 * there_T1, axis=-2, keepdims=True) / tokens
    blanked_TD: Array = stream_TD * (1 - blank_T1) * ((1 - BLANKED) / kept)
    return blanked_TD
