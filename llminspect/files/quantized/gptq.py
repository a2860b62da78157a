"""GPTQ and AWQ: whole numbers of a few bits, packed in words of 32, with a scale and a zero for each group of inputs.

Both store the matrix turned, [inputs, outputs]: `qweight`, `scales` [groups, outputs] and packed `qzeros`. A weight is
(number − zero) × scale. GPTQ packs down the inputs and may give each input a group by `g_idx` (Frantar et al. 2022,
"GPTQ"; AutoGPTQ's `QuantLinear`); the zeros of its first format lack 1. AWQ packs along the outputs, eight in an order
of its own (Lin et al. 2023, "AWQ"; AutoAWQ's `WQLinear_GEMM`).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from llminspect.errors import ModelError
from llminspect.files.quantized.decoded import Floats, Made, by_group, numbers, stored_as, unpack
from llminspect.files.quantized.stated import Stated
from llminspect.files.weights import WeightFile

_SCALES = ("F16", "BF16", "F32")
_AWQ_ORDER = np.array([0, 4, 1, 5, 2, 6, 3, 7])
"""Where in a word each of eight outputs lies."""


class _Matrix(NamedTuple):
    """The names of one matrix's parts, and its sizes."""

    module: str
    bits: int
    inputs: int
    outputs: int
    groups: int
    size: int
    """Inputs of a group."""

    def part(self, name: str) -> str:
        return f"{self.module}.{name}"


def gptq(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    bits = stated.one_of("bits", 2, 3, 4, 8)
    lacking = stated.one_of("checkpoint_format", "gptq", "gptq_v2", default="gptq") == "gptq"
    stated.only("format", "gptq", "gptq_v2")
    stated.only("pack_dtype", "int32")
    stated.nothing("dynamic")
    stated.skip("desc_act", "sym", "true_sequential", "static_groups", "damp_percent", "damp_auto_increment", "meta")
    stated.skip("dataset", "tokenizer", "batch_size", "model_seqlen", "max_input_length", "use_cuda_fp16", "backend")
    stated.skip("block_name_to_quantize", "modules_in_block_to_quantize", "module_name_preceding_first_block")
    stated.skip("pad_token_id", "use_exllama", "disable_exllama", "exllama_config", "cache_block_outputs", "lm_head")
    stated.skip(
        "model_name_or_path",
        "model_file_base_name",
        "quantizer",
        "is_marlin_format",
        "mse",
        "hyb_act",
        "act_group_aware",
    )
    stated.only("is_marlin_format", False)
    size = stated.get("group_size", -1)
    found = []
    for module in _modules(weights):
        words, outputs = stored_as(weights, f"{module}.qweight", "I32", "U32", shape=(None, None)).shape
        if words * 32 % bits:
            raise ModelError(
                f"tensor {module}.qweight has {words} rows of words, which hold no whole number of {bits} bits"
            )
        matrix = _sized(weights, module, bits, words * 32 // bits, outputs, size, stated)
        stored_as(weights, matrix.part("qzeros"), "I32", "U32", shape=(matrix.groups, -(-outputs * bits // 32)))
        parts = [matrix.part(name) for name in ("qweight", "qzeros", "scales")]
        if matrix.part("g_idx") in weights.tensors:
            stored_as(weights, matrix.part("g_idx"), "I32", "I64", shape=(matrix.inputs,))
            parts.append(matrix.part("g_idx"))
        rows = partial(_gptq_rows, weights, matrix, lacking)
        found.append(Made(matrix.part("weight"), (outputs, matrix.inputs), f"GPTQ{bits}", tuple(parts), rows))
    return found, []


def awq(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    stated.only("version", "gemm", "GEMM")
    stated.only("bits", 4)
    stated.only("w_bit", 4)
    stated.only("zero_point", True)
    stated.only("backend", "autoawq", "auto")
    stated.skip("do_fuse", "fuse_max_seq_len", "modules_to_fuse", "exllama_config")
    size = stated.get("group_size", stated.get("q_group_size", 128))
    found = []
    for module in _modules(weights):
        inputs, words = stored_as(weights, f"{module}.qweight", "I32", "U32", shape=(None, None)).shape
        matrix = _sized(weights, module, 4, inputs, words * 8, size, stated)
        stored_as(weights, matrix.part("qzeros"), "I32", "U32", shape=(matrix.groups, words))
        parts = tuple(matrix.part(name) for name in ("qweight", "qzeros", "scales"))
        rows = partial(_awq_rows, weights, matrix)
        found.append(Made(matrix.part("weight"), (matrix.outputs, inputs), "AWQ4", parts, rows))
    return found, []


def _modules(weights: WeightFile) -> list[str]:
    return [name.removesuffix(".qweight") for name in weights.tensors if name.endswith(".qweight")]


def _sized(
    weights: WeightFile, module: str, bits: int, inputs: int, outputs: int, size: object, stated: Stated
) -> _Matrix:
    """With as many groups as its inputs have; −1 is one group."""
    if type(size) is not int or not (size == -1 or 1 <= size <= 1 << 20):
        raise stated.wrong("group_size", "-1 or a whole number above 0")
    size = inputs if size == -1 else size
    groups = -(-inputs // max(size, 1))
    stored_as(weights, f"{module}.scales", *_SCALES, shape=(groups, outputs))
    return _Matrix(module, bits, inputs, outputs, groups, size)


def _gptq_rows(weights: WeightFile, matrix: _Matrix, lacking: bool, start: int, stop: int) -> Floats:
    words = numbers(weights, matrix.part("qweight")).view("u4")[:, start:stop]
    out = unpack(np.ascontiguousarray(words.T), matrix.bits, matrix.inputs)
    zeros = unpack(numbers(weights, matrix.part("qzeros")).view("u4"), matrix.bits, matrix.outputs)[:, start:stop]
    if lacking:
        zeros = zeros + 1
    groups = np.arange(matrix.inputs) // matrix.size
    if matrix.part("g_idx") in weights.tensors:
        groups = numbers(weights, matrix.part("g_idx"))
        if groups.size and not 0 <= groups.min() <= groups.max() < matrix.groups:
            raise ModelError(f"tensor {matrix.part('g_idx')} names groups beyond the {matrix.groups} that there are")
    scales = weights.array(matrix.part("scales"))[:, start:stop]
    return by_group(out, groups, matrix.size, scales.T, zeros.T)


def _awq_rows(weights: WeightFile, matrix: _Matrix, start: int, stop: int) -> Floats:
    cut = slice(start // 8, -(-stop // 8))
    inside = slice(start - cut.start * 8, stop - cut.start * 8)
    both = []
    for part in ("qweight", "qzeros"):
        words = numbers(weights, matrix.part(part)).view("u4")[:, cut]
        values = unpack(np.ascontiguousarray(words), 4, words.shape[1] * 8).reshape(len(words), -1, 8)
        both.append(values[..., _AWQ_ORDER].reshape(len(words), -1)[:, inside])
    scales = weights.array(matrix.part("scales"))[:, start:stop]
    groups = np.arange(matrix.inputs) // matrix.size
    return by_group(np.ascontiguousarray(both[0].T), groups, matrix.size, scales.T, both[1].T)
