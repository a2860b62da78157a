"""bitsandbytes: NF4 and FP4 in blocks of a flat row of weights, and 8-bit matrices with a scale a row.

Dettmers et al. 2023, "QLoRA" (sections 3.1 and 3.2): a weight is the step that 4 bits name × the largest of its block,
which with double quantization is itself kept in 8 bits. Dettmers et al. 2022, "LLM.int8()": number × `SCB` / 127.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from llminspect.errors import ModelError, as_json
from llminspect.files.quantized.decoded import Floats, Made, numbers, stored_as
from llminspect.files.quantized.scaled import scaled
from llminspect.files.quantized.stated import Stated
from llminspect.files.weights import WeightFile

STATE = ".quant_state.bitsandbytes__"
LARGEST_STATE = 1 << 16
_TWELFTHS = (0, 0.0625, 8, 12, 4, 6, 2, 3)
STEPS = {
    "nf4": np.array(
        (
            *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
            *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
            *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
            *(0.7229568362236023, 1.0),
        ),
        np.float32,
    ),
    "fp4": np.array([sign * step / 12 for sign in (1, -1) for step in _TWELFTHS], np.float32),
}
"""What 4 bits stand for (`get_4bit_type`)."""


class _State(NamedTuple):
    name: str
    kind: str
    block: int
    nested_block: int | None
    offset: float


def bitsandbytes(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    four, eight = (
        stated.one_of(f"load_in_{bits}bit", True, False, default=stated.get(f"_load_in_{bits}bit", False))
        for bits in (4, 8)
    )
    if four == eight:
        raise stated.wrong("load_in_4bit", "true, or load_in_8bit = true in its place")
    stated.skip("_load_in_4bit", "_load_in_8bit", "bnb_4bit_compute_dtype", "bnb_4bit_use_double_quant")
    stated.skip("llm_int8_threshold", "llm_int8_has_fp16_weight", "llm_int8_enable_fp32_cpu_offload")
    stated.only("bnb_4bit_quant_type", "nf4", "fp4")
    stated.skip("bnb_4bit_quant_storage")
    if four:
        return [_four(weights, name) for name in weights.tensors if STATE in name], []
    found = []
    for name in weights.tensors:
        if name.endswith(".SCB"):
            matrix = name.removesuffix("SCB") + "weight"
            rows, _ = stored_as(weights, matrix, "I8", shape=(None, None)).shape
            stored_as(weights, name, "F32", "F16", shape=(rows,))
            found.append(scaled(weights, matrix, name, kind="INT8", factor=7.874015718698502e-3))
    passed_over = [name for name in weights.tensors if name.endswith(".weight_format")]
    for name in passed_over:
        stored_as(weights, name, "U8", shape=())
        if weights.array(name) != 0:
            raise ModelError(f"tensor {name!r:.100} says that the matrix is stored in another order than row by row")
    return found, passed_over


def _four(weights: WeightFile, state_name: str) -> Made:
    name, _, kind = state_name.rpartition(STATE)
    info = stored_as(weights, state_name, "U8", shape=(None,))
    if info.nbytes > LARGEST_STATE or kind not in STEPS:
        raise ModelError(f"tensor {state_name!r:.100} is not understood", f"known: {', '.join(STEPS)}")
    try:
        values = json.loads(bytes(numbers(weights, state_name)))
        shape, block = tuple(values["shape"]), values["blocksize"]
        nested = "nested_blocksize" in values
        state = _State(
            name, kind, block, values["nested_blocksize"] if nested else None, values.get("nested_offset", 0.0)
        )
        sizes = (*shape, block, *([state.nested_block] if nested else []))
        sound = all(type(size) is int and 0 < size < 1 << 40 for size in sizes) and isinstance(
            state.offset, float | int
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound or values.get("quant_type") != kind or len(shape) != 2:
        raise ModelError(f"tensor {state_name!r:.100} holds no shape, block size and type that are understood")
    parts, count = [name, state_name, f"{name}.absmax", f"{name}.quant_map"], math.prod(shape)
    packed = stored_as(weights, name, "U8", "BF16", "F16", "F32")
    if packed.nbytes != -(-count // 2):
        stated = as_json(list(shape))
        raise ModelError(
            f"tensor {name!r:.100} has {packed.nbytes:,} bytes, where the shape {stated} takes {-(-count // 2):,}"
        )
    blocks = -(-count // block)
    stored_as(weights, parts[2], "U8" if nested else "F32", shape=(blocks,))
    stored_as(weights, parts[3], "F32", shape=(16,))
    if nested:
        assert state.nested_block is not None
        stored_as(weights, f"{name}.nested_absmax", "F32", shape=(-(-blocks // state.nested_block),))
        stored_as(weights, f"{name}.nested_quant_map", "F32", shape=(256,))
        parts += [f"{name}.nested_absmax", f"{name}.nested_quant_map"]
    return Made(name, shape, kind.upper(), tuple(parts), partial(_rows, weights, state, shape[1]))


def _rows(weights: WeightFile, state: _State, width: int, start: int, stop: int) -> Floats:
    first, last, block = start * width, stop * width, state.block
    packed = weights.bytes_of(state.name)[first // 2 : -(-last // 2)]
    places = np.empty(2 * len(packed), np.uint8)
    places[0::2], places[1::2] = packed >> 4, packed & 15
    steps = STEPS[state.kind][places[first % 2 : first % 2 + last - first]]
    blocks = np.arange(first // block, -(-last // block))
    scales = np.repeat(_largest(weights, state, blocks), block)
    result: Floats = (steps * scales[first % block : first % block + last - first]).reshape(-1, width)
    return result


def _largest(weights: WeightFile, state: _State, blocks: np.ndarray[Any, Any]) -> Floats:
    """The scale of each of these blocks."""
    kept = weights.array(f"{state.name}.absmax")[blocks]
    if state.nested_block is None:
        return kept
    codes = weights.array(f"{state.name}.nested_quant_map")[kept.astype(np.intp)]
    found: Floats = codes * weights.array(f"{state.name}.nested_absmax")[blocks // state.nested_block]
    return found + np.float32(state.offset)
