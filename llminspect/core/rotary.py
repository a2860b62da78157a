"""Rotary positions ("RoPE"): each pair of numbers in a query or key is turned by an angle that grows with the position.

The product of a query and a key then depends on how far apart they stand (Su et al. 2021, "RoFormer", section 3.2.2).
Each pair has a speed of its own; a `Scaling` changes the speeds for texts longer than in training. Speeds hang on the
configuration and the text's length alone, so they are plain numbers, of which `rotary_angles` makes arrays.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np

from llminspect.core.array import Array, namespace
from llminspect.core.dataclass import dataclass

PairLayout = Literal["halves", "interleaved"]


class Scaling(Protocol):
    @property
    def gain(self) -> float:
        """What cos and sin are multiplied by: its square sharpens the attention."""

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        """The angle in radians by which each pair turns per position, for a text of `length` tokens."""


@dataclass(frozen=True)
class Growth:
    """Queries grow with the logarithm of their position, so that in a long text as well a token looks at few others
    (Meta 2025, "Llama 4"; Nakanishi 2025, "Scalable-Softmax")."""

    strength: float
    context: int
    """In so many tokens they do not grow yet."""

    def factors(self, position_T: Array) -> Array:
        """What the query at each position is multiplied by."""
        xp = namespace(position_T)
        return 1 + self.strength * xp.log(1 + xp.floor(position_T / self.context))


WIDEST = 1 << 16


@dataclass(frozen=True)
class Rotary:
    """Which part of each head is turned, and how fast (Su et al. 2021, "RoFormer", section 3.2.2).

    Raises ValueError (or ArithmeticError) where the numbers make no rotation.
    """

    width: int
    """How many of a head's E numbers are turned: width / 2 pairs."""
    base: float
    scaling: Scaling | None = None
    pairs: PairLayout = "halves"
    """Which numbers are turned together: i and i + width / 2 ("halves"), or 2i and 2i + 1 ("interleaved")."""
    growth: Growth | None = None

    def __post_init__(self) -> None:
        if not 0 < self.width <= WIDEST or self.width % 2:
            raise ValueError(f"a rotation cannot turn {self.width} numbers of a head")
        if self.base <= 0:
            raise ValueError(f"a rotation cannot have the base {self.base}")
        speeds = [*self.speeds(1), *self.speeds(1 << 31), self.gain]
        if not all(map(math.isfinite, speeds)):
            raise ValueError("the rotation's speeds are not finite")

    @property
    def gain(self) -> float:
        return 1.0 if self.scaling is None else self.scaling.gain

    def speeds(self, length: int) -> list[float]:
        """The angle in radians by which each pair turns per position, fastest first."""
        return plain_speeds(self.width, self.base) if self.scaling is None else self.scaling.speeds(self, length)


def plain_speeds(width: int, base: float) -> list[float]:
    """base^(−2i / width) for each of the width / 2 pairs."""
    return [float(base) ** (-pair / width) for pair in range(0, width, 2)]


@dataclass(frozen=True)
class Linear:
    """Positions are squeezed: a token at 8 stands where one at 2 stood (Chen et al. 2023, "Position Interpolation")."""

    factor: float
    gain: float = 1.0

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        return [speed / self.factor for speed in plain_speeds(rotary.width, rotary.base)]


@dataclass(frozen=True)
class Proportional:
    """Only the fastest pairs turn, as fast as if all did (Gemma 4; the reference implementation's own formula)."""

    share: float
    """So much of all pairs."""
    factor: float = 1.0
    gain: float = 1.0

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        turned, plain = int(self.share * rotary.width // 2), plain_speeds(rotary.width, rotary.base)
        return [speed / self.factor if pair < turned else 0.0 for pair, speed in enumerate(plain)]


@dataclass(frozen=True)
class Dynamic:
    """The base grows with the text once it is longer than in training ("dynamic NTK", bloc97 and emozilla 2023).

    Keys that are already in a cache keep the angles they were given, as in the reference implementation.
    """

    factor: float
    context: int
    gain: float = 1.0

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        stretch = self.factor * max(length, self.context) / self.context - (self.factor - 1)
        return plain_speeds(rotary.width, rotary.base * stretch ** (rotary.width / (rotary.width - 2)))


@dataclass(frozen=True)
class Llama3:
    """Slow pairs are slowed by `factor`, fast ones not, those between in part (Llama 3.1; the file's own formula)."""

    factor: float
    low: float
    """Pairs that turn less often than this in `context` tokens are slow …"""
    high: float
    """… and those that turn more often than this are fast."""
    context: int
    gain: float = 1.0

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        return [self._slowed(speed) for speed in plain_speeds(rotary.width, rotary.base)]

    def _slowed(self, speed: float) -> float:
        turns = self.context * speed / (2 * math.pi)
        kept = min(max((turns - self.low) / (self.high - self.low), 0.0), 1.0)
        return speed * (kept + (1 - kept) / self.factor)


@dataclass(frozen=True)
class Yarn:
    """Like `Llama3` with a ramp over the pairs, and a gain (Peng et al. 2023, "YaRN", sections 3.2 and 3.4)."""

    factor: float
    context: int
    gain: float
    fast: float = 32.0
    slow: float = 1.0
    truncate: bool = True
    """Whether the ramp starts and ends at whole pairs."""

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        low, high = self._pair(rotary, self.fast), self._pair(rotary, self.slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, rotary.width - 1)
        breadth = (high - low) or 0.001

        def slowed(pair: int, speed: float) -> float:
            ramp = min(max((pair - low) / breadth, 0.0), 1.0)
            return speed * (1 - ramp) + speed / self.factor * ramp

        return [slowed(pair, speed) for pair, speed in enumerate(plain_speeds(rotary.width, rotary.base))]

    def _pair(self, rotary: Rotary, turns: float) -> float:
        """The pair, counted in fractions, that turns so many times in `context` tokens."""
        return rotary.width * math.log(self.context / (turns * 2 * math.pi)) / (2 * math.log(rotary.base))


def yarn_gain(factor: float, weight: float = 1.0) -> float:
    """0.1 · weight · ln(factor) + 1 (Peng et al. 2023, eq. 22)."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


@dataclass(frozen=True)
class LongRope:
    """A divisor for each pair, others for short texts than for long ones (Ding et al. 2024, "LongRoPE").

    Keys that are already in a cache keep the angles they were given when the text grows past `context`: whoever writes
    on begins anew there.
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    context: int
    """Texts longer than this take the long divisors."""
    gain: float

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        divisors, plain = self.long if length > self.context else self.short, plain_speeds(rotary.width, rotary.base)
        if len(divisors) != len(plain):
            raise ValueError(f"a rotation of {len(plain)} pairs cannot have {len(divisors)} divisors")
        return [speed / by for speed, by in zip(plain, divisors, strict=True)]


@dataclass(frozen=True)
class Divided:
    """The divisors are arrays of the model (GGUF): up to `context` tokens the short ones, beyond it the long ones."""

    context: int
    gain: float = 1.0

    def speeds(self, rotary: Rotary, length: int) -> list[float]:
        return plain_speeds(rotary.width, rotary.base)


def long_rope_gain(stretch: float, context: int) -> float:
    """√(1 + ln(stretch) / ln(context)), where stretch is how many times longer than in training texts may be."""
    return math.sqrt(1 + math.log(stretch) / math.log(context)) if stretch > 1 else 1.0


def rotary_angles(
    like: Array, start: int, tokens: int, rotary: Rotary, divisors_P: Array | None = None
) -> tuple[Array, ...]:
    """cos and sin of position × speed for the positions from `start`, each [T, P] for P pairs; where queries grow, by
    how much, [T, 1].

    In the number type of `like`. `divisors_P` slows each pair, where a file states the slowing so.
    """
    xp = namespace(like)
    speeds_P = xp.asarray(rotary.speeds(start + tokens), dtype=like.dtype)
    if divisors_P is not None:
        speeds_P = speeds_P / divisors_P
    position_T = start + xp.arange(tokens, dtype=like.dtype)
    angles_TP = position_T[:, None] * speeds_P
    growth = () if rotary.growth is None else (rotary.growth.factors(position_T)[:, None],)
    return (xp.cos(angles_TP) * rotary.gain, xp.sin(angles_TP) * rotary.gain, *growth)


def rotate(x_HTE: Array, rotation_TP: tuple[Array, ...], pairs: PairLayout = "halves", start: int = 0) -> Array:
    """Turn the pairs (x_i, x_{i+P}), or (x_2i, x_{2i+1}), by their cos and sin: 2P of E numbers from `start` on,
    counted from there. The others are left as they are."""
    cos_TP, sin_TP, *_ = rotation_TP
    xp, width = namespace(x_HTE), 2 * cos_TP.shape[-1]
    before, x_HTE = x_HTE[..., :start], x_HTE[..., start:]
    halves, rest = pairs == "halves", x_HTE[..., width:]
    if halves:
        first, second = x_HTE[..., : width // 2], x_HTE[..., width // 2 : width]
    else:
        first, second = x_HTE[..., 0:width:2], x_HTE[..., 1:width:2]
    turned = [first * cos_TP - second * sin_TP, second * cos_TP + first * sin_TP]
    if not halves:
        turned = [xp.stack(turned, axis=-1).reshape(*x_HTE.shape[:-1], width)]
    parts = [*([before] if start else []), *turned, *([rest] if rest.shape[-1] else [])]
    return xp.concat(parts, axis=-1)


# -- A model's rotation, measured --------------------------------------------------------------------------------------


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
    start = int(np.flatnonzero(moved_E)[0])
    turned = int(np.flatnonzero(moved_E)[-1]) + 1 - start
    turned += turned % 2
    layouts: dict[PairLayout, tuple[Array, Array]] = {
        "halves": (start + np.arange(turned // 2), start + np.arange(turned // 2, turned)),
        "interleaved": (start + np.arange(0, turned, 2), start + np.arange(1, turned, 2)),
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
