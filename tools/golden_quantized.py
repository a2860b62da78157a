"""Make tests/files/quantized: a small matrix as each quantizing package stores it, and what that package decodes.

python golden_quantized.py FOLDER NAME …   with the packages of those names installed, each in its own environment if
need be: bitsandbytes (CPU), compressed-tensors, mlx (CPU). A file holds the stored tensors, `expected` in float32, and
in its metadata the configuration.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

NAME = "model.layers.0.mlp.up_proj"


def weights(rows: int, width: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(0, 0.05, (rows, width)).astype(np.float32)


def bitsandbytes() -> dict[str, Any]:
    import bitsandbytes.functional as bnb
    import torch

    made = {}
    for kind, nested in (("nf4", False), ("nf4", True), ("fp4", False)):
        packed, state = bnb.quantize_4bit(
            torch.from_numpy(weights(7, 150)), blocksize=64, quant_type=kind, compress_statistics=nested
        )
        tensors = {f"{NAME}.weight": packed}
        tensors |= {f"{NAME}.weight.{key}": value for key, value in state.as_dict(packed=True).items()}
        config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}
        config |= {"bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": nested, "llm_int8_skip_modules": None}
        made[f"bnb-{kind}{'-nested' * nested}"] = (tensors, config, bnb.dequantize_4bit(packed, state))
    numbers, scales, _ = bnb.int8_vectorwise_quant(torch.from_numpy(weights(9, 40)).half())
    tensors = {f"{NAME}.weight": numbers, f"{NAME}.SCB": scales}
    tensors[f"{NAME}.weight_format"] = torch.tensor(0, dtype=torch.uint8)
    config = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0}
    made["bnb-int8"] = (tensors, config, bnb.int8_vectorwise_dequant(numbers, scales))
    return made


def mlx() -> dict[str, Any]:
    import mlx.core as mx

    made = {}
    for bits in (2, 3, 4, 5, 6, 8):
        parts = mx.quantize(mx.array(weights(6, 96)), group_size=32, bits=bits)
        tensors = dict(zip((f"{NAME}.{part}" for part in ("weight", "scales", "biases")), parts, strict=True))
        config = {"group_size": 64, "bits": 4, NAME: {"group_size": 32, "bits": bits}}
        made[f"mlx-{bits}"] = (tensors, config, mx.dequantize(*parts, group_size=32, bits=bits))
    for mode, size, bits in (("mxfp4", 32, 4), ("nvfp4", 16, 4), ("mxfp8", 32, 8)):
        how = {"group_size": size, "bits": bits, "mode": mode}
        parts = mx.quantize(mx.array(weights(6, 96)), **how)
        tensors = {f"{NAME}.weight": parts[0], f"{NAME}.scales": parts[1]}
        made[f"mlx-{mode}"] = (tensors, how, mx.dequantize(*parts, **how).astype(mx.float32))
    return made


def compressed_tensors() -> dict[str, Any]:
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
    from compressed_tensors.quantization.utils import calculate_qparams

    made = {}
    of = {"group": {"group_size": 32}, "block": {"block_structure": [4, 32]}}
    for name, form, settings in (
        ("int4-group", "pack-quantized", {"num_bits": 4, "strategy": "group", "symmetric": True}),
        ("int4-group-zero", "pack-quantized", {"num_bits": 4, "strategy": "group", "symmetric": False}),
        ("int8-channel-packed", "pack-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": True}),
        ("int8-channel", "int-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": True}),
        ("int8-tensor-zero", "naive-quantized", {"num_bits": 8, "strategy": "tensor", "symmetric": False}),
        ("fp8-channel", "float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}),
        ("fp8-block", "float-quantized", {"num_bits": 8, "type": "float", "strategy": "block"}),
    ):
        settings |= of.get(settings["strategy"], {})
        how, matrix = QuantizationArgs(**settings), torch.from_numpy(weights(12, 96))
        parts = {
            "group": lambda m: m.reshape(12, 3, 32),
            "channel": lambda m: m.reshape(12, 1, 96),
            "tensor": lambda m: m.reshape(1, 1, -1),
            "block": lambda m: m.reshape(3, 4, 3, 32).transpose(1, 2).reshape(3, 3, 128),
        }[settings["strategy"]](matrix)
        scale, zero = calculate_qparams(parts.amin(-1), parts.amax(-1), how)
        if settings["strategy"] == "tensor":
            scale, zero = scale.reshape(1), zero.reshape(1)
        stored = quantize(matrix, scale, zero, how, dtype=how.pytorch_dtype())
        expected = dequantize(stored, scale, zero, how)
        tensors = {f"{NAME}.weight_scale": scale}
        if form == "pack-quantized":
            tensors[f"{NAME}.weight_packed"] = pack_to_int32(stored, how.num_bits)
            tensors[f"{NAME}.weight_shape"] = torch.tensor(matrix.shape)
            if not how.symmetric:
                packed = pack_to_int32(zero.to(torch.int8), how.num_bits, packed_dim=0)
                tensors[f"{NAME}.weight_zero_point"] = packed.contiguous()
        else:
            tensors[f"{NAME}.weight"] = stored
            if not how.symmetric:
                tensors[f"{NAME}.weight_zero_point"] = zero.to(torch.int8)
        groups = {"group_0": {"targets": ["Linear"], "weights": settings, "input_activations": None}}
        config = {"quant_method": "compressed-tensors", "format": form, "config_groups": groups, "ignore": ["lm_head"]}
        made[f"ct-{name}"] = (tensors, config, expected)
    made |= small_floats()
    return made


def small_floats() -> dict[str, Any]:
    """NVFP4 and MXFP4 of compressed-tensors."""
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    made = {}
    for kind, strategy, size in (("nvfp4", "tensor_group", 16), ("mxfp4", "group", 32)):
        settings = {"num_bits": 4, "type": "float", "strategy": strategy, "group_size": size, "symmetric": True}
        more = {"scale_dtype": torch.float8_e4m3fn} if kind == "nvfp4" else {"scale_dtype": torch.uint8}
        how, matrix = (
            QuantizationArgs(**settings, **more, zp_dtype=torch.float8_e4m3fn),
            torch.from_numpy(weights(12, 96)),
        )
        groups = matrix.reshape(12, -1, size)
        whole = generate_gparam(matrix.min(), matrix.max()) if kind == "nvfp4" else None
        scale, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), how, global_scale=whole)
        scheme = QuantizationScheme(targets=["Linear"], weights=how)
        form = f"{kind}-pack-quantized"
        held = {"weight": matrix, "weight_scale": scale} | ({} if whole is None else {"weight_global_scale": whole})
        compressor = BaseCompressor.get_value_from_registry(form)
        stored = compressor.compress(held, scheme)
        numbers = unpack_fp4_from_uint8(stored["weight_packed"], 12, 96, dtype=torch.float32)
        scales = compressor._decompress_scale(stored["weight_scale"], torch.float32)
        expected = dequantize(numbers, scales, args=how, global_scale=whole, dtype=torch.float32)
        of_groups = {"group_0": {"targets": ["Linear"], "weights": settings, "input_activations": None}}
        config = {
            "quant_method": "compressed-tensors",
            "format": form,
            "config_groups": of_groups,
            "ignore": ["lm_head"],
        }
        made[f"ct-{kind}"] = ({f"{NAME}.{part}": array for part, array in stored.items()}, config, expected)
    return made


def main(folder: str, names: list[str]) -> None:
    for name in names:
        for file, (tensors, config, expected) in globals()[name.replace("-", "_")]().items():
            path = Path(folder) / f"{file}.safetensors"
            save(path, {**tensors, "expected": expected}, {"config": json.dumps(config)})


def save(path: Path, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    if type(next(iter(tensors.values()))).__module__.startswith("torch"):
        from safetensors.torch import save_file as save_torch

        save_torch({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    else:
        save_file({name: np.array(tensor) for name, tensor in tensors.items()}, path, metadata)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
