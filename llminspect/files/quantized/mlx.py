"""MLX: numbers of a few bits with a scale for each group of a row (`mx.quantize`), and in the mode affine a bias.

A weight is number × scale + bias; in the other modes numbers are floats, and there is no bias. The words are stored
under the matrix's plain name, the rest beside it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from llminspect.errors import ModelError
from llminspect.files.quantized.decoded import Floats, Made, numbers, stored_as, unpack
from llminspect.files.quantized.small_floats import KINDS, small_floats
from llminspect.files.quantized.stated import Stated
from llminspect.files.weights import WeightFile

BITS = (2, 3, 4, 5, 6, 8)
_SCALES = ("F16", "BF16", "F32")


def mlx(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    usual = _how(stated, stated)
    by_module = {key: value for key, value in stated.values.items() if isinstance(value, dict | bool)}
    stated.skip(*by_module)  # By a module's name: how it is quantized, or that it is not.
    found = []
    for name in weights.tensors:
        if not name.endswith(".scales"):
            continue
        module = name.removesuffix(".scales")
        if by_module.get(module) is False:
            raise ModelError(f"{stated.where}: {module} = false, and it is stored quantized")
        inner = by_module.get(module)
        mode, bits, size = usual if not isinstance(inner, dict) else _how(stated.under(module, inner), stated, *usual)
        if mode == "affine":
            found.append(_matrix(weights, module, bits, size))
        else:
            found.append(small_floats(weights, f"{module}.weight", mode, f"{module}.weight", name))
    return found, []


def _how(stated: Stated, outer: Stated, mode: str = "affine", bits: int = 0, size: int = 0) -> tuple[str, int, int]:
    """The mode, how many bits, and how many share a scale."""
    known = stated.one_of("mode", "affine", *KINDS, default=mode)
    if known != mode and known in KINDS:
        bits, size, _ = KINDS[known]
    found = known, stated.one_of("bits", *BITS, default=bits), stated.whole("group_size", size or None)
    if known in KINDS:
        stated.only("bits", KINDS[known].bits)
        stated.only("group_size", KINDS[known].size)
    if stated is not outer:
        stated.done()
    return found


def _matrix(weights: WeightFile, module: str, bits: int, size: int) -> Made:
    name = f"{module}.weight"
    *outer, words = stored_as(weights, name, "U32").shape or (0,)
    if not outer or words * 32 % bits or words * 32 // bits % size:
        raise ModelError(
            f"tensor {name!r:.100} has the shape {(*outer, words)}, not rows of groups of {size} × {bits} bits"
        )
    width = words * 32 // bits
    parts = (name, f"{module}.scales", f"{module}.biases")
    for part in parts[1:]:
        stored_as(weights, part, *_SCALES, shape=(*outer, width // size))
    return Made(name, (*outer, width), f"MLX{bits}", parts, partial(_rows, weights, parts, bits, width))


def _rows(weights: WeightFile, parts: tuple[str, ...], bits: int, width: int, start: int, stop: int) -> Floats:
    words: Any = numbers(weights, parts[0])[start:stop]
    out = unpack(words, bits, width)
    scales, biases = (weights.rows(part, start, stop) for part in parts[1:])
    groups = out.reshape(*scales.shape, -1)
    result: Floats = (groups * scales[..., None] + biases[..., None]).reshape(out.shape)
    return np.ascontiguousarray(result)
