"""The 8-bit floats of safetensors files, decoded by a table of the 256 numbers that there are.

E4M3 and E5M2: OCP 8-bit Floating Point Specification 1.0 (E4M3 has no infinity); those named FNUZ have one nought and
one NaN, 80 in hexadecimal, and a bias greater by one. E8M0: OCP Microscaling Formats 1.0, a power of two alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = {"E4M3": (3, 7), "E5M2": (2, 15), "E4M3FNUZ": (3, 8), "E5M2FNUZ": (2, 16)}
"""Of the mantissa, and the bias of the exponent."""


def decode(codes: NDArray[np.uint8], out: NDArray[np.float32], layout: str) -> None:
    out[:] = _table(layout)[codes]


@cache
def _table(layout: str) -> NDArray[np.float32]:
    codes = np.arange(256)
    if layout == "E8M0":
        powers = np.ldexp(1.0, codes - 127)
        return np.where(codes == 255, np.nan, powers).astype(np.float32)
    mantissa_bits, bias = _BITS[layout]
    rest, exponent = codes & (1 << mantissa_bits) - 1, (codes & 127) >> mantissa_bits
    fraction = rest / (1 << mantissa_bits) + (exponent > 0)
    found = np.ldexp(fraction, np.maximum(exponent, 1) - bias) * np.where(codes & 128, -1.0, 1.0)
    if layout.endswith("FNUZ"):
        found[128] = np.nan
    elif layout == "E4M3":
        found[[127, 255]] = np.nan
    else:
        found[exponent == 31] = np.where(rest, np.nan, np.where(codes & 128, -np.inf, np.inf))[exponent == 31]
    return found.astype(np.float32)
