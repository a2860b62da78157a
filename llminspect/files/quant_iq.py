"""The decoders of ggml's types of few bits: of two or three values a weight, and the IQ types with their grids.

A block of an IQ type has 256 weights, each group of 8 or 4 of which is one entry of a grid. As those of
`quant_types.py` the decoders take blocks as bytes [n, bytes of a block], fill float32 [n, weights of a block] and give
the same bits as the `gguf` package; the layouts are those of `ggml-common.h`. Loaded when the first such block is
decoded.

The grids, which groups of 8 or 4 steps an index stands for, are from `ggml-common.h` of ggml (MIT licence,
(c) 2023-2026 The ggml authors): `iq2xxs_grid`, `iq2xs_grid`, `iq2s_grid`, `iq3xxs_grid`, `iq3s_grid`, `iq1s_grid`. Each
is a list of groups in ascending order, a group read as a number whose digits are the places of its steps, the first the
lowest. `data/grids.json` has the differences of one such number to the next, 16 bits each, compressed (zlib) and
written as text (base 85).
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

_BITS = np.arange(8, dtype=np.uint8)
_SEVEN = np.arange(128, dtype=np.uint8)
_EVEN_SIGNS = _SEVEN | (np.unpackbits(_SEVEN[:, None], axis=1).sum(axis=1, dtype=np.uint8) & 1) << 7
"""Seven signs say the eighth: an even number of them is minus (`ksigns_iq2xs`)."""
_TILT = np.float32(0.125)
"""What a group of one of the types of 1 bit is moved by, up or down (`IQ1S_DELTA`)."""


def _fill(out: Floats, scales: NDArray[Any], groups: Floats, signs: Bytes | None = None) -> None:
    """scale × group × sign; scales [n, s], groups [n, g, 8 or 4], and bits for each number of a block."""
    n = len(out)
    out.reshape(n, scales.shape[1], -1)[:] = groups.reshape(n, scales.shape[1], -1) * scales[..., None]
    if signs is not None:
        minus = ((signs[..., None] >> _BITS) & 1).reshape(out.shape)
        out *= np.where(minus, np.float32(-1), np.float32(1))


def _half(blocks: Bytes, at: int = 0) -> Floats:
    return blocks[:, at : at + 2].copy().view("<f2").astype("f4")


def _cut(packed: NDArray[Any], shifts: tuple[int, ...], mask: int) -> NDArray[Any]:
    """Parts of each number, those of one number side by side: [n, m] to [n, m × shifts]."""
    kind = packed.dtype
    parts = (packed[..., None] >> np.array(shifts, kind)) & kind.type(mask)
    return parts.reshape(len(packed), -1)


def iq2_xxs(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 2:].copy().view("<u4").reshape(len(blocks), 8, 2)
    scales = _half(blocks) * (np.float32(0.5) + (words[..., 1] >> 28).astype("f4")) * np.float32(0.25)
    places = words[..., 0].copy().view("u1").reshape(len(blocks), -1)
    _fill(out, scales, grid("IQ2_XXS")[places], _EVEN_SIGNS[_cut(words[..., 1], (0, 7, 14, 21), 127)])


def iq2_xs(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 2:66].copy().view("<u2")
    scales = _half(blocks) * (np.float32(0.5) + _cut(blocks[:, 66:], (0, 4), 15)) * np.float32(0.25)
    _fill(out, scales, grid("IQ2_XS")[words & 511], _EVEN_SIGNS[words >> 9])


def iq2_s(blocks: Bytes, out: Floats) -> None:
    places = blocks[:, 2:34].astype("u2") | _cut(blocks[:, 66:74], (0, 2, 4, 6), 3).astype("u2") << 8
    scales = _half(blocks) * (np.float32(0.5) + _cut(blocks[:, 74:], (0, 4), 15)) * np.float32(0.25)
    _fill(out, scales, grid("IQ2_S")[places], blocks[:, 34:66])


def iq3_xxs(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 66:].copy().view("<u4")
    scales = _half(blocks) * (np.float32(0.5) + (words >> 28).astype("f4")) * np.float32(0.5)
    _fill(out, scales, grid("IQ3_XXS")[blocks[:, 2:66]], _EVEN_SIGNS[_cut(words, (0, 7, 14, 21), 127)])


def iq3_s(blocks: Bytes, out: Floats) -> None:
    places = blocks[:, 2:66].astype("u2") | _cut(blocks[:, 66:74], tuple(range(8)), 1).astype("u2") << 8
    scales = _half(blocks) * (1 + 2 * _cut(blocks[:, 106:], (0, 4), 15))
    _fill(out, scales, grid("IQ3_S")[places], blocks[:, 74:106])


def iq1_s(blocks: Bytes, out: Floats) -> None:
    words = blocks[:, 34:].copy().view("<u2")
    places = blocks[:, 2:34].astype("u2") | _cut(words, (0, 3, 6, 9), 7) << 8
    tilts = np.where(words & 0x8000, -_TILT, _TILT)[..., None, None]
    groups = grid("IQ1_S")[places].reshape(len(blocks), 8, 4, 8) + tilts
    _fill(out, _half(blocks) * (2 * (words >> 12 & 7) + 1), groups)


def iq1_m(blocks: Bytes, out: Floats) -> None:
    words, packed = blocks[:, 48:].copy().view("<u2"), _cut(blocks[:, 32:48], (0, 4), 15)
    quarters = (words & 0xF000) >> np.array([12, 8, 4, 0], np.uint16)  # Of one float16 scale, 4 bits of each word.
    scale = np.bitwise_or.reduce(quarters, axis=1, keepdims=True).view("<f2").astype("f4")
    places = blocks[:, :32].astype("u2") | (packed & 7).astype("u2") << 8
    groups = grid("IQ1_S")[places] + np.where(packed & 8, -_TILT, _TILT)[..., None]
    _fill(out, scale * (2 * _cut(words, (0, 3, 6, 9), 7) + 1), groups)


def q1_0(blocks: Bytes, out: Floats) -> None:
    """A sign for each weight."""
    scale = _half(blocks)
    np.copyto(out, np.where(np.unpackbits(blocks[:, 2:], axis=1, bitorder="little"), scale, -scale))


def tq1_0(blocks: Bytes, out: Floats) -> None:
    """Five weights of three values in a byte: what is carried when the rest of the byte is taken times three."""
    powers = np.array([1, 3, 9, 27, 81], np.uint8)[:, None]
    packed = (blocks[:, None, :32] * powers, blocks[:, None, 32:48] * powers, blocks[:, None, 48:52] * powers[:4])
    digits = np.concatenate([part.reshape(len(blocks), -1) for part in packed], axis=1).astype(np.uint16) * 3 >> 8
    out[:] = digits.astype("i1") - 1
    out *= _half(blocks, 52)


def tq2_0(blocks: Bytes, out: Floats) -> None:
    packed = blocks[:, :64].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    out[:] = packed.reshape(out.shape).view("i1") - 1
    out *= _half(blocks, 64)


OF_2, OF_3, OF_3_ODD, OF_1 = (8, 25, 43), (4, 12, 20, 28, 36, 44, 52, 62), tuple(range(1, 16, 2)), (-1, 0, 1)


_GRIDS = {
    "IQ2_XXS": (OF_2, 8),
    "IQ2_XS": (OF_2, 8),
    "IQ2_S": (OF_2, 8),
    "IQ3_XXS": (OF_3, 4),
    "IQ3_S": (OF_3_ODD, 4),
    "IQ1_S": (OF_1, 8),
}
"""The steps of each, and how many numbers are in a group."""


@cache
def grid(name: str) -> NDArray[np.float32]:
    """The groups that a type of this name has, float32 [groups, numbers of a group]."""
    steps, together = _GRIDS[name]
    kept = json.loads((Path(__file__).parent / "data" / "grids.json").read_bytes())
    numbers = np.cumsum(np.frombuffer(zlib.decompress(base64.b85decode(kept[name])), "<u2"), dtype=np.int64)
    places = numbers[:, None] // len(steps) ** np.arange(together) % len(steps)
    return np.array(steps, np.float32)[places]
