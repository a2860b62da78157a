"""compressed-tensors, the format of llm-compressor: 8-bit numbers with scales, and whole numbers packed in words.

`config_groups` says how each module is stored: `weights` of so many bits with a scale for the matrix (`tensor`), a row
(`channel`), so many inputs (`group`) or a block. A weight is (number − zero) × scale.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from llminspect.errors import ModelError
from llminspect.files.quantized.decoded import Floats, Made, by_group, numbers, stored_as, unpack
from llminspect.files.quantized.scaled import FLOATS, of_activations, scaled
from llminspect.files.quantized.small_floats import KINDS, small_floats
from llminspect.files.quantized.stated import Stated
from llminspect.files.weights import WeightFile

_PACKED, _PLAIN = "pack-quantized", ("int-quantized", "float-quantized", "naive-quantized")
_SMALL = {"nvfp4-pack-quantized": "nvfp4", "mxfp4-pack-quantized": "mxfp4"}


class _Scheme(NamedTuple):
    targets: list[str]
    form: str
    bits: int
    kind: str
    symmetric: bool
    block: tuple[int, int] | None
    """Of weights that share a scale."""
    strategy: str


def compressed_tensors(weights: WeightFile, stated: Stated) -> tuple[list[Made], list[str]]:
    stated.only("quantization_status", "compressed", "frozen")
    stated.skip("global_compression_ratio", "kv_cache_scheme", "version")
    stated.nothing("transform_config", "moe_sparsity_config")
    sparse = stated.get("sparsity_config")
    if sparse and (not isinstance(sparse, dict) or sparse.get("format", "dense") != "dense"):
        raise stated.wrong("sparsity_config", "none, or the format dense")
    form, groups = stated.get("format"), stated.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise stated.wrong("config_groups", "an object of groups")
    known = [_group(stated.under(name, values), form) for name, values in groups.items()]
    found = []
    for name in weights.tensors:
        if not name.endswith(".weight_scale"):
            continue
        module = name.removesuffix(".weight_scale")
        group = _of(module, known, stated)
        if group.form in _SMALL:
            found.append(_small(weights, module, _SMALL[group.form]))
        else:
            found.append((_packed if group.form == _PACKED else _plain)(weights, module, group))
    return found, of_activations(weights)


def _group(stated: Stated, form: Any) -> _Scheme:
    stated.skip("input_activations", "output_activations")
    form = stated.get("format", form)
    if form not in (known := (_PACKED, *_PLAIN, *_SMALL)):
        raise ModelError(f"{stated.where}: format = {form!r:.60} is not understood", f"known: {', '.join(known)}")
    targets, how = stated.names("targets"), stated.under("weights", stated.get("weights"))
    stated.done()
    how.skip("dynamic", "observer", "observer_kwargs", "actorder", "scale_dtype", "zp_dtype")
    if form in _SMALL:
        return _of_small(targets, form, how)
    kind, bits = how.one_of("type", "int", "float", default="int"), how.one_of("num_bits", 2, 4, 8, default=8)
    if (kind == "float" or form != _PACKED) and bits != 8:
        raise how.wrong("num_bits", "8")
    symmetric = how.one_of("symmetric", True, False, default=True)
    size, block = how.get("group_size"), how.pair("block_structure")
    usual = "block" if block else "group" if size and size != -1 else "channel"
    strategy = how.one_of("strategy", "tensor", "channel", "group", "block", default=usual)
    if strategy == "group":
        block = (1, how.whole("group_size"))
    elif strategy == "block" and block is None:
        raise how.wrong("block_structure", "two whole numbers")
    how.done()
    return _Scheme(targets, form, bits, kind, symmetric, block if strategy in ("group", "block") else None, strategy)


def _of_small(targets: list[str], form: str, how: Stated) -> _Scheme:
    bits, size, _ = KINDS[_SMALL[form]]
    how.one_of("num_bits", bits)
    how.one_of("type", "float")
    how.one_of("symmetric", True, default=True)
    how.one_of("group_size", size, default=size)
    strategy = how.one_of("strategy", "tensor_group" if form.startswith("nv") else "group")
    how.nothing("block_structure", "actorder")
    how.done()
    return _Scheme(targets, form, bits, "float", True, None, strategy)


def _small(weights: WeightFile, module: str, kind: str) -> Made:
    parts = [f"{module}.weight_{part}" for part in ("packed", "scale", "global_scale")]
    of_all = parts[2] if kind == "nvfp4" else None
    return small_floats(weights, f"{module}.weight", kind, *parts[:2], of_all=of_all, divides=True)


def _of(module: str, groups: list[_Scheme], stated: Stated) -> _Scheme:
    """The group of a module: the one that names it, else the one for all linear maps."""
    named = [group for group in groups if any(stated.names_module(target, module) for target in group.targets)]
    usual = [group for group in groups if {"Linear", "Embedding"} & set(group.targets)]
    if not (named or usual):
        raise ModelError(f"{stated.where} has no group for {module!r:.100}, which is stored quantized")
    return (named or usual)[0]


def _plain(weights: WeightFile, module: str, group: _Scheme) -> Made:
    name = f"{module}.weight"
    stored_as(weights, name, *(("I8",) if group.kind == "int" else FLOATS))
    zero = f"{module}.weight_zero_point"
    there = zero in weights.tensors
    if there is group.symmetric and (there or group.kind == "int"):
        _symmetric_zero(weights, zero, there)
    kind = "INT8" if group.kind == "int" else None
    zeros = zero if there else None
    return scaled(weights, name, f"{name}_scale", block=group.block, shares=group.strategy, zero=zeros, kind=kind)


def _symmetric_zero(weights: WeightFile, zero: str, there: bool) -> None:
    """A symmetric matrix may have zeros, which are all nought; one that is not must have them."""
    if not there or numbers(weights, zero).any():
        raise ModelError(f"tensor {zero!r:.100} is {'not zero' if there else 'missing'}, against the configuration")


def _packed(weights: WeightFile, module: str, group: _Scheme) -> Made:
    words, scale, shape_name = (f"{module}.weight_{part}" for part in ("packed", "scale", "shape"))
    stored_as(weights, shape_name, "I64", "I32", shape=(2,))
    rows, width = (int(size) for size in numbers(weights, shape_name))
    if rows < 1 or width < 1:
        raise ModelError(f"tensor {shape_name!r:.100} says {rows} × {width}")
    stored_as(weights, words, "I32", shape=(rows, -(-width * group.bits // 32)))
    held = stored_as(weights, scale, "F16", "BF16", "F32").shape
    size = width if group.block is None else group.block[1]
    groups = -(-width // size)
    if group.strategy == "tensor":
        if math.prod(held) != 1:
            stored_as(weights, scale, shape=(1,))
    elif held != (rows,) or groups != 1:
        stored_as(weights, scale, shape=(rows, groups))
    parts, zero, order = [words, scale, shape_name], f"{module}.weight_zero_point", f"{module}.weight_g_idx"
    if zero in weights.tensors:
        packed = weights.tensors[zero].type == "I32"
        stored_as(weights, zero, "I32", "I8", shape=(-(-rows * group.bits // 32) if packed else rows, groups))
        parts.append(zero)
    elif not group.symmetric:
        stored_as(weights, zero)
    if order in weights.tensors:
        stored_as(weights, order, "I32", "I64", shape=(width,))
        parts.append(order)
    read = partial(_rows, weights, module, group.bits, (rows, width), (groups, size))
    return Made(f"{module}.weight", (rows, width), f"INT{group.bits}", tuple(parts), read)


def _rows(
    weights: WeightFile, module: str, bits: int, shape: tuple[int, int], grouped: tuple[int, int], start: int, stop: int
) -> Floats:
    (rows, width), (groups, size) = shape, grouped
    middle = np.float32(1 << bits - 1)
    out = unpack(numbers(weights, f"{module}.weight_packed").view("u4")[start:stop], bits, width) - middle
    scales = weights.array(f"{module}.weight_scale")
    scales = scales if scales.shape == (rows, groups) else np.broadcast_to(scales.reshape(-1, 1), (rows, groups))
    of_group = _order(weights, module, width, groups, size)
    zero, zeros = f"{module}.weight_zero_point", None
    if zero in weights.tensors:
        zeros = weights.array(zero)
        if weights.tensors[zero].type == "I32":  # Packed down the rows.
            packed = np.ascontiguousarray(numbers(weights, zero).view("u4").T)
            zeros = unpack(packed, bits, rows).T - middle
        zeros = zeros[start:stop]
    return by_group(out, of_group, size, scales[start:stop], zeros)


def _order(weights: WeightFile, module: str, width: int, groups: int, size: int) -> np.ndarray[Any, Any]:
    """The group of each input: in turn, or as the order of activations says; −1 in it stands for none."""
    name = f"{module}.weight_g_idx"
    order = numbers(weights, name) if name in weights.tensors else np.full(1, -1)
    if (order == -1).any():
        return np.arange(width) // size
    if not 0 <= order.min() <= order.max() < groups:
        raise ModelError(f"tensor {name!r:.100} names groups beyond the {groups} that there are")
    return order
