"""Numbers of 8 bits, one by one, with scales: of the whole matrix, of each row, or of each block of it.

FP8 as DeepSeek and Qwen publish it (`weight_scale_inv`, blocks of 128 × 128), fbgemm's (`weight_scale` of each row) and
ModelOpt's (of the matrix). Their dequantization is number × scale in each case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from llminspect.errors import ModelError
from llminspect.files.quantized.decoded import Floats, Made, stored_as
from llminspect.files.quantized.small_floats import KINDS, small_floats
from llminspect.files.quantized.stated import Stated
from llminspect.files.weights import WeightFile

if TYPE_CHECKING:
    from numpy.typing import NDArray


FLOATS = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
SCALES = ("F32", "F16", "BF16", "F8_E8M0")
OF_ACTIVATIONS = (
    *(f"{what}_{part}" for what in ("input", "output", "q", "k", "v") for part in ("scale", "zero_point")),
    *("activation_scale", "prob_scale", "input_scale_ub", "input_global_scale"),
)
"""What tensors end with that only say how activations or kept keys and values would be rounded."""


def of_activations(weights: WeightFile) -> list[str]:
    return [name for name in weights.tensors if name.rpartition(".")[2] in OF_ACTIVATIONS]


def scaled(
    weights: WeightFile,
    name: str,
    scale: str,
    *,
    block: tuple[int, int] | None = None,
    shares: str | None = None,
    zero: str | None = None,
    kind: str | None = None,
    factor: float | None = None,
) -> Made:
    """(number − zero) × scale (× factor), the matrix stored number by number; there may be several in one array.

    `shares`: what shares a scale where it is no block, "tensor" or "channel" (a row); None: the shapes say it.
    """
    info = weights.tensors[name]
    shape, its = info.shape, stored_as(weights, scale, *SCALES).shape
    place = _places(shape, its, block, scale, shares)
    zero_place = None if zero is None else _places(shape, stored_as(weights, zero).shape, block, zero, shares)

    def rows(start: int, stop: int) -> Floats:
        out = weights.rows(name, start, stop).copy()
        if zero is not None and zero_place is not None:
            out -= zero_place(weights.array(zero), start, stop)
        out *= place(weights.array(scale), start, stop)
        if factor is not None:
            out *= np.float32(factor)
        return out

    parts = (name, scale) if zero is None else (name, scale, zero)
    return Made(name, shape, kind or info.type, parts, rows)


def _places(
    shape: tuple[int, ...], its: tuple[int, ...], block: tuple[int, int] | None, name: str, shares: str | None
) -> Callable[[Floats, int, int], Floats]:
    """How to bring numbers of shape `its` to some rows of `shape`: one for all, one a row, or one a block."""
    if len(its) == 1 and its[0] == shape[0] != 1:
        its = (*its, *(1,) * (len(shape) - 1))
    its = (1,) * (len(shape) - len(its)) + its
    sides = (1,) * (len(shape) - 2) + (block or (1, 1))
    whole = tuple(-(-size // side) for size, side in zip(shape, sides[-len(shape) :], strict=True))
    rows, one = (*shape[:-1], 1), (1,) * len(shape)
    known = {"block": [whole], "channel": [rows], "tensor": [one], None: [one, rows, (*shape[:-2], 1, 1)]}
    if its not in known["block" if block else shares]:
        how = f"in blocks of {sides[-2:]}" if block else f"and one scale a {shares or 'row or matrix'}"
        raise ModelError(f"tensor {name!r:.100} has the shape {its}, which does not go with {shape} {how}")
    sides = sides[-len(shape) :]

    def brought(numbers: Floats, start: int, stop: int) -> Floats:
        numbers = numbers.reshape(its)
        for axis, (length, size, side) in enumerate(zip(its, shape, sides, strict=True)):
            where: NDArray[np.int64] = np.arange(size)[slice(start, stop) if axis == 0 else slice(None)] // side
            if length > 1:
                numbers = numbers.take(where, axis=axis)
        return numbers

    return brought


def _each(weights: WeightFile, endings: tuple[str, ...], block: tuple[int, int] | None) -> list[Made]:
    """Every array of 8-bit floats, with the scale that is called as it and ends so."""
    found = []
    for name, info in weights.tensors.items():
        if info.type not in FLOATS or not info.shape or name.endswith(endings):
            continue
        scale = next((name + ending for ending in endings if name + ending in weights.tensors), name + endings[0])
        found.append(scaled(weights, name, scale, block=block))
    return found


def fp8(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    """DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", section 3.3; in transformers `FineGrainedFP8Config`."""
    stated.only("fmt", "e4m3", "float8_e4m3fn", "e5m2")
    stated.only("scale_fmt", "ue8m0", "float")
    stated.only("activation_scheme", "dynamic", "static")
    stated.only("weight_per_tensor", True, False)
    stated.only("act_per_tensor", True, False)
    stated.only("dequantize", True, False)
    block = stated.pair("weight_block_size")
    return _each(weights, ("_scale_inv", "_scale"), block), of_activations(weights)


def fbgemm_fp8(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    stated.skip("activation_scale_ub")
    return _each(weights, ("_scale",), None), of_activations(weights)


def modelopt(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    """NVIDIA's TensorRT Model Optimizer."""
    form = stated.one_of("quant_algo", "FP8", "NVFP4")
    stated.skip("producer", "kv_cache_quant_algo", "kv_cache_scheme", "config_groups", "group_size")
    if form == "NVFP4":
        stated.only("group_size", KINDS["nvfp4"].size)
        ends = {name: name.removesuffix("_scale_2") for name in weights.tensors if name.endswith("_scale_2")}
        made = [
            small_floats(weights, name, "nvfp4", name, f"{name}_scale", of_all=of_all) for of_all, name in ends.items()
        ]
        return made, of_activations(weights)
    return _each(weights, ("_scale",), None), of_activations(weights)
