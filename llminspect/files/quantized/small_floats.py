"""Floats of 4 or 8 bits with a scale for each group of a row: NVFP4 (groups of 16, their scales floats of 8 bits, and
one of the whole matrix) and the MX formats (groups of 32, powers of two), as the experts of gpt-oss are published.

NVIDIA 2025, "Pretraining Large Language Models with NVFP4", section 2; Open Compute Project 2023, "OCP Microscaling
Formats (MX) Specification", sections 5, 5.1 and 5.3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from llminspect.errors import ModelError
from llminspect.files import quant_floats
from llminspect.files.quantized.decoded import Floats, Made, numbers, stored_as
from llminspect.files.quantized.stated import Stated
from llminspect.files.weights import WeightFile

if TYPE_CHECKING:
    from numpy.typing import NDArray


BLOCKS, SCALES = "_blocks", "_scales"
BIAS = 127
"""Of the exponent that stands for a block's power of two."""
VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
FOUR_BITS = np.concatenate([VALUES, -VALUES])


def mxfp4(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    """Each array of blocks [X, O, I / 32, 16], with its scales [X, O, I / 32]: X maps from I to O numbers, which the
    plain file keeps as [X, I, O]."""
    stated.only("dequantize", True, False)
    return [_made(weights, name) for name in weights.tensors if name.endswith(BLOCKS)], []


def _made(weights: WeightFile, blocks: str) -> Made:
    name = blocks.removesuffix(BLOCKS)
    stacked = stored_as(weights, blocks, "U8", shape=(None, None, None, 16)).shape
    stored_as(weights, scales := name + SCALES, "U8", shape=stacked[:3])
    if not all(stacked):
        raise ModelError(f"tensor {blocks!r:.100} has the shape {stacked}, and nothing in it")

    def rows(start: int, stop: int) -> Floats:
        packed_XOGB = numbers(weights, blocks)[start:stop]
        exponents_XOG1 = numbers(weights, scales)[start:stop, ..., None].astype(np.int32) - BIAS
        # Two a byte, the lower half first.
        codes = np.stack([packed_XOGB & 15, packed_XOGB >> 4], axis=-1).reshape(*packed_XOGB.shape[:3], 32)
        found_XOG = np.ldexp(FOUR_BITS[codes], exponents_XOG1)
        return found_XOG.reshape(*packed_XOGB.shape[:2], -1).swapaxes(1, 2)

    experts, outputs, groups, _ = stacked
    return Made(name, (experts, 32 * groups, outputs), "MXFP4", (blocks, scales), rows)


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
