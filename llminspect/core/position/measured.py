"""The rotary code of a model, measured: by how much each pair of numbers is turned at each position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from llminspect.core.array import Array

PairLayout = Literal["halves", "interleaved"]


@dataclass(frozen=True)
class Rotation:
    """By how much each pair of numbers of a head is turned at each position, [T, P] radians in (−π, π]."""

    angles_TP: Array
    layout: PairLayout
    """Which numbers make a pair: i and i + P ("halves"), or 2i and 2i + 1 ("interleaved")."""


def measured_rotation(before_HTE: Array, after_HTE: Array) -> Rotation | None:
    """The rotation (Su et al. 2021, "RoFormer", section 3.2.2) that turned the first array into the second.

    None where nothing was turned. Over the heads the angles are weighted by how long a pair is, so that a short one
    does not blur them. What the model leaves unturned (a partial rotation) is not among the pairs.
    """
    moved_E = np.abs(after_HTE - before_HTE).max(axis=(0, 1)) > 1e-6 * np.abs(before_HTE).max()
    if not moved_E.any():
        return None
    turned = int(np.flatnonzero(moved_E)[-1]) + 1
    turned += turned % 2
    layouts: dict[PairLayout, tuple[Array, Array]] = {
        "halves": (np.arange(turned // 2), np.arange(turned // 2, turned)),
        "interleaved": (np.arange(0, turned, 2), np.arange(1, turned, 2)),
    }
    best = min(layouts, key=lambda layout: _stretch(before_HTE, after_HTE, *layouts[layout]))
    first, second = layouts[best]
    before = before_HTE[..., first] + 1j * before_HTE[..., second]
    after = after_HTE[..., first] + 1j * after_HTE[..., second]
    return Rotation(np.angle((after * before.conj()).sum(axis=0)), best)


def _stretch(before_HTE: Array, after_HTE: Array, first: Array, second: Array) -> float:
    """How much the pairs change their length; a rotation changes none."""
    lengths = [np.hypot(array[..., first], array[..., second]) for array in (before_HTE, after_HTE)]
    return float(np.abs(lengths[1] - lengths[0]).max())
