"""Numbers of 4 bits in blocks of 32 with a power of two each: the experts of gpt-oss as OpenAI publishes them.

Open Compute Project 2023, "OCP Microscaling Formats (MX) Specification", sections 5.1 and 5.3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.errors import ModelError
from llminspect.files.quantized.decoded import Made, numbers, stored_as

if TYPE_CHECKING:
    from llminspect.files.quantized.decoded import Floats
    from llminspect.files.quantized.stated import Stated
    from llminspect.files.weights import WeightFile

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
