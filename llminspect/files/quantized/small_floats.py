"""Floats of 4 or 8 bits with a scale for each group of a row: NVFP4 (groups of 16, their scales floats of 8 bits, and
one of the whole matrix) and the MX formats (groups of 32, powers of two).

NVIDIA 2025, "Pretraining Large Language Models with NVFP4", section 2; Open Compute Project 2023, "OCP Microscaling
Formats (MX) Specification", section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from llminspect.errors import ModelError
from llminspect.files import quant_floats
from llminspect.files.quantized.decoded import Made, numbers, stored_as
from llminspect.files.quantized.mxfp4 import FOUR_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llminspect.files.quantized.decoded import Floats
    from llminspect.files.weights import WeightFile


class SmallFloat(NamedTuple):
    bits: Literal[4, 8]
    size: int
    """How many share a scale."""
    scales: str
    """What kind of float a scale is."""


KINDS = {"nvfp4": SmallFloat(4, 16, "E4M3"), "mxfp4": SmallFloat(4, 32, "E8M0"), "mxfp8": SmallFloat(8, 32, "E8M0")}


def small_floats(
    weights: WeightFile,
    name: str,
    kind: str,
    packed: str,
    scale: str,
    *,
    of_all: str | None = None,
    divides: bool = False,
) -> Made:
    """The matrix `name`, or several in one array; `of_all`: one more scale, of the whole matrix, by which those of the
    groups are multiplied, or which `divides` them."""
    bits, size, layout = KINDS[kind]
    stored = stored_as(weights, packed, "U8", "U32")
    each = (4 if stored.type == "U32" else 1) * 8 // bits
    *outer, last = stored.shape or (0,)
    width = last * each
    if not outer or not width or width % size:
        raise ModelError(f"tensor {packed!r:.100} has the shape {stored.shape}, not rows of groups of {size}")
    stored_as(weights, scale, "U8", f"F8_{layout}", shape=(*outer, width // size))
    parts = [packed, scale]
    if of_all is not None:
        if stored_as(weights, of_all, "F32", "F16", "BF16").shape not in ((), (1,)):
            stored_as(weights, of_all, shape=(1,))
        parts.append(of_all)

    def rows(start: int, stop: int) -> Floats:
        codes = numbers(weights, packed)[start:stop].view("u1")
        halves = np.stack([codes & 15, codes >> 4], axis=-1)  # Two a byte, the lower half first.
        found = FOUR_BITS[halves] if bits == 4 else _decoded(codes, "E4M3")
        scales = _decoded(numbers(weights, scale)[start:stop].view("u1"), layout)
        if of_all is not None:
            whole = weights.array(of_all).reshape(())
            scales = scales / whole if divides else scales * whole
        groups: Floats = found.reshape(*scales.shape, size) * scales[..., None]
        return groups.reshape(stop - start, *outer[1:], width)

    return Made(name, (*outer, width), kind.upper(), tuple(parts), rows)


def _decoded(codes: NDArray[np.uint8], layout: str) -> Floats:
    out = np.empty(codes.shape, np.float32)
    quant_floats.decode(codes, out, layout)
    return out
