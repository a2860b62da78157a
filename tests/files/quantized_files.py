"""Small quantized safetensors files, written for the tests of what is read of them and of what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from llminspect.files.quantized import opened
from llminspect.files.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llminspect.files.weights import WeightFile

FOLDER = Path(__file__).with_name("quantized")
MODULE = "model.layers.0.mlp.up_proj"
NAME = f"{MODULE}.weight"
STORED = sorted(path.stem for path in FOLDER.iterdir())
SEED = np.random.default_rng(5)
CODES = SEED.integers(0, 127, (150, 200), dtype=np.uint8)  # Neither of E4M3's two NaN.
CT = {"quant_method": "compressed-tensors", "format": "pack-quantized"}


def stored(path: Path, config: dict[str, Any], **tensors: NDArray[Any]) -> WeightFile:
    """A file of one module's parts, opened by such a configuration."""
    save_file({f"{MODULE}.{part}": np.ascontiguousarray(array) for part, array in tensors.items()}, path)
    return opened(SafetensorsFile(path), {"quantization_config": config})


def of_floats(path: Path, config: dict[str, Any], scale: str, scales: NDArray[Any]) -> WeightFile:
    """An FP8 matrix; numpy knows no such numbers, so its bytes are written as whole ones and called by their name."""
    save_file({NAME: CODES, f"{MODULE}.{scale}": scales, f"{MODULE}.input_scale": np.ones(1, np.float32)}, path)
    data = path.read_bytes()
    path.write_bytes(renamed(data))
    return opened(SafetensorsFile(path), {"quantization_config": config})


def renamed(data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].replace(b'"U8"', b'"F8_E4M3"').rstrip()
    return len(header).to_bytes(8, "little") + header + data[8 + length :]
