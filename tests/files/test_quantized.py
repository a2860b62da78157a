"""Matrices that several stored tensors make, against what the quantizing packages decode (tools/golden_quantized.py).

Where no small package decodes a format (GPTQ, AWQ, FP8 with scales) its published unpacking is written out number by
number here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from llminspect.errors import ModelError
from llminspect.files.quant_types import BY_NAME
from llminspect.files.quantized import opened
from llminspect.files.safetensors import SafetensorsFile
from llminspect.files.weights import dequantize
from tests.files.quantized_files import CODES, CT, FOLDER, MODULE, NAME, SEED, STORED, of_floats, stored

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def assert_equal(got: NDArray[np.float32], expected: NDArray[Any], relative: float = 0.0) -> None:
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=relative, atol=relative * np.abs(expected).max())


def words(values: NDArray[Any], bits: int) -> NDArray[np.int32]:
    """Numbers packed down the rows, bit by bit: [n, m] to [n · bits / 32, m]."""
    rows, columns = values.shape
    out = np.zeros((rows * bits // 32, columns), np.uint32)
    for row in range(rows):
        for bit in range(bits):
            at = row * bits + bit
            out[at // 32] |= ((values[row] >> bit & 1) << (at % 32)).astype(np.uint32)
    return out.view(np.int32)


def eight_bits(codes: NDArray[np.uint8], mantissa: int = 3, bias: int = 7) -> NDArray[np.float64]:
    """E4M3 by its definition."""
    out = np.empty(codes.shape)
    for place, code in np.ndenumerate(codes):
        exponent, rest = int(code & 127) >> mantissa, int(code & (1 << mantissa) - 1) / (1 << mantissa)
        value = rest * 2.0 ** (1 - bias) if exponent == 0 else (1 + rest) * 2.0 ** (exponent - bias)
        out[place] = -value if code & 128 else value
    return out


@pytest.mark.parametrize("stem", STORED)
def test_each_matrix_is_what_its_package_decodes(stem: str) -> None:
    plain = SafetensorsFile(FOLDER / f"{stem}.safetensors")
    key = "quantization" if stem.startswith("mlx") else "quantization_config"
    weights = opened(plain, {key: json.loads(plain.metadata["config"])})
    assert set(weights.tensors) == {NAME, "expected"}
    expected = weights.array("expected")
    # The scales of a chunk times a number, rounded once; MLX fuses the sum.
    assert_equal(weights.array(NAME), expected, 2e-7 if stem.startswith("mlx") else 0)
    assert np.array_equal(weights.rows(NAME, 1, 4), weights.array(NAME)[1:4])
    info = weights.tensors[NAME]
    assert info.nbytes == sum(each.nbytes for each in plain.tensors.values()) - expected.nbytes - (
        1 if stem == "bnb-int8" else 0
    )


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("form", ["gptq", "gptq_v2"])
def test_gptq(bits: int, form: str, tmp_path: Path) -> None:
    numbers, zeros = (SEED.integers(0, 1 << bits, size) for size in ((64, 32), (2, 32)))
    scales, order = SEED.normal(0, 0.01, (2, 32)).astype(np.float16), SEED.permutation(64).astype(np.int32) % 2
    weights = stored(
        tmp_path / "m.safetensors",
        {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": True, "checkpoint_format": form},
        qweight=words(numbers, bits),
        qzeros=words(zeros.T, bits).T,
        scales=scales,
        g_idx=order,
        bias=np.ones(32, np.float32),
    )
    plus = 1 if form == "gptq" else 0
    expected = np.empty((32, 64), np.float32)
    for row in range(32):
        for column in range(64):
            group = order[column]
            number = np.float32(numbers[column, row] - (zeros[group, row] + plus))
            expected[row, column] = number * np.float32(scales[group, row])
    assert_equal(weights.array(NAME), expected)
    assert_equal(weights.rows(NAME, 3, 9), expected[3:9])
    assert weights.tensors.keys() == {NAME, f"{MODULE}.bias"}


def test_awq(tmp_path: Path) -> None:
    numbers, zeros = SEED.integers(0, 16, (64, 24)), SEED.integers(0, 16, (2, 24))
    scales = SEED.normal(0, 0.01, (2, 24)).astype(np.float16)

    def packed(values: NDArray[Any]) -> NDArray[np.int32]:
        out = np.zeros((len(values), 3), np.uint32)
        for place, column in enumerate((0, 2, 4, 6, 1, 3, 5, 7)):
            out |= values[:, column::8].astype(np.uint32) << np.uint32(4 * place)
        return out.view(np.int32)

    config = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
    parts: dict[str, Any] = {"qweight": packed(numbers), "qzeros": packed(zeros), "scales": scales}
    weights = stored(tmp_path / "m.safetensors", config, **parts)
    groups = np.arange(64) // 32
    expected = ((numbers - zeros[groups]).astype("f4") * scales[groups].astype("f4")).T
    assert_equal(weights.array(NAME), expected)
    assert_equal(weights.rows(NAME, 5, 18), expected[5:18])


def test_mxfp4(tmp_path: Path) -> None:
    blocks, scales = SEED.integers(0, 256, (3, 5, 2, 16), np.uint8), SEED.integers(90, 160, (3, 5, 2), np.uint8)
    scales[0, 0] = 0, 3  # Powers of two below what a float32 holds in full.
    save_file({"experts.up_blocks": blocks, "experts.up_scales": scales}, tmp_path / "of")
    weights = opened(SafetensorsFile(tmp_path / "of"), {"quantization_config": {"quant_method": "mxfp4"}})
    expected = np.zeros((3, 64, 5))
    for expert, row, group, byte in np.ndindex(*blocks.shape):
        for half in range(2):
            code = int(blocks[expert, row, group, byte]) >> 4 * half & 15
            size = (0, 0.5, 1, 1.5, 2, 3, 4, 6)[code & 7] * 2.0 ** (int(scales[expert, row, group]) - 127)
            expected[expert, 32 * group + 2 * byte + half, row] = -size if code > 7 else size
    assert_equal(weights.array("experts.up"), expected)
    assert np.array_equal(weights.rows("experts.up", 1, 2), weights.array("experts.up")[1:2])
    assert weights.tensors.keys() == {"experts.up"}


def test_nvfp4_of_modelopt(tmp_path: Path) -> None:
    """Two matrices in one array; the scale of all multiplies those of the groups."""
    codes, scales = SEED.integers(0, 256, (2, 5, 16), np.uint8), SEED.integers(0, 127, (2, 5, 2), np.uint8)
    floats = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    config = {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "producer": {"name": "modelopt"}}
    parts = {"weight": codes, "weight_scale": scales, "weight_scale_2": np.array(0.25, np.float32)}
    parts |= {"input_scale": np.array(3, np.float32)}
    weights = stored(tmp_path / "of", config, **parts)
    expected = np.zeros((2, 5, 32))
    for matrix, row, column in np.ndindex(2, 5, 32):
        code = int(codes[matrix, row, column // 2]) >> 4 * (column % 2) & 15
        number = floats[code & 7] * (-1 if code > 7 else 1)
        expected[matrix, row, column] = (
            number * 0.25 * eight_bits(scales[matrix, row, column // 16 : column // 16 + 1])[0]
        )
    assert_equal(weights.array(NAME), expected)
    assert weights.tensors.keys() == {NAME}
    for wrong, refused in (({"group_size": 32}, "group_size = 32"), ({"quant_algo": "NVFP8"}, "NVFP8")):
        with pytest.raises(ModelError, match=refused):
            stored(tmp_path / "of", config | wrong, **parts)
    for name, array in (("weight_scale", scales[:, :, :1]), ("weight_scale_2", np.ones(5, np.float32))):
        with pytest.raises(ModelError, match=f"{name}' has the shape"):
            stored(tmp_path / "of", config, **{**parts, name: array})


@pytest.mark.parametrize(
    ("config", "scale", "shape"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128], "scale_fmt": "ue8m0"}, "weight_scale_inv", (2, 2)),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "weight_scale_inv", ()),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "weight_scale", (150, 1)),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "weight_scale", ()),
    ],
)
def test_fp8(config: dict[str, Any], scale: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    scales = SEED.normal(1, 0.1, shape).astype(np.float32) if shape else np.full((), 0.37, np.float32)
    weights = of_floats(tmp_path / "m.safetensors", config, scale, scales)
    per_number = scales
    if shape == (2, 2):
        per_number = scales[np.arange(150)[:, None] // 128, np.arange(200) // 128]
    expected = eight_bits(CODES).astype(np.float32) * per_number
    assert_equal(weights.array(NAME), expected)
    assert_equal(weights.rows(NAME, 120, 140), expected[120:140])
    assert list(weights.tensors) == [NAME]


@pytest.mark.parametrize(
    ("how", "fits"),
    [
        ({"strategy": "channel"}, (6, 1)),
        ({"strategy": "tensor"}, (1,)),
        ({"strategy": "group", "group_size": 16}, (6, 2)),
        ({"strategy": "block", "block_structure": [3, 16]}, (2, 2)),
    ],
)
def test_scales_go_with_what_shares_them(how: dict[str, Any], fits: tuple[int, ...], tmp_path: Path) -> None:
    groups = {"g": {"targets": ["Linear"], "weights": {"num_bits": 8, **how}}}
    config = {"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": groups}
    for shape in ((6, 1), (1,), (6, 2), (2, 2), (1, 2), (2, 1)):
        arrays: dict[str, NDArray[Any]] = {"weight": np.ones((6, 32), np.int8)}
        arrays["weight_scale"] = np.ones(shape, np.float32)
        if shape == fits:
            assert stored(tmp_path / "of", config, **arrays).array(NAME).shape == (6, 32)
        else:
            with pytest.raises(ModelError, match="which does not go with"):
                stored(tmp_path / "of", config, **arrays)


def test_packed_scales_go_with_what_shares_them(tmp_path: Path) -> None:
    packed: dict[str, NDArray[Any]] = {"weight_packed": np.ones((6, 4), np.int32), "weight_shape": np.array([6, 32])}
    for how, fits in (
        ({"strategy": "channel"}, [(6, 1), (6,)]),
        ({"group_size": 16}, [(6, 2)]),
        ({"strategy": "tensor"}, [(1,)]),
    ):
        groups = {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, **how}}}
        for shape in ((6, 1), (6,), (6, 2), (1,)):
            arrays = {**packed, "weight_scale": np.ones(shape, np.float32)}
            if shape in fits:
                stored(tmp_path / "of", {**CT, "config_groups": groups}, **arrays)
            else:
                with pytest.raises(ModelError, match="is what goes with the rest"):
                    stored(tmp_path / "of", {**CT, "config_groups": groups}, **arrays)


def test_each_layout_of_eight_bits() -> None:
    codes = np.arange(256, dtype=np.uint8)
    for layout, mantissa, bias, special in (("E4M3", 3, 7, 127), ("E5M2", 2, 15, 124)):
        got, expected = dequantize(f"F8_{layout}", codes), eight_bits(codes, mantissa, bias)
        usual = (codes & 127) < special
        assert np.array_equal(got[usual], expected[usual].astype(np.float32))
    got = dequantize("F8_E5M2", codes)
    assert got[[124, 252]].tolist() == [np.inf, -np.inf]
    assert np.isnan(got[[125, 126, 127, 253]]).all()
    assert np.isnan(dequantize("F8_E4M3", codes)[[127, 255]]).all()
    for layout, mantissa, bias in (("E4M3FNUZ", 3, 8), ("E5M2FNUZ", 2, 16)):
        got, expected = dequantize(f"F8_{layout}", codes), eight_bits(codes, mantissa, bias)
        assert np.isnan(got[128])
        assert np.array_equal(np.delete(got, 128), np.delete(expected, 128).astype(np.float32))
    powers = dequantize("F8_E8M0", codes)
    assert powers[[127, 130, 0]].tolist() == [1, 8, np.float32(2.0**-127)]
    assert np.isnan(powers[255])
    assert all(BY_NAME[f"F8_{layout}"].decode for layout in ("E4M3", "E5M2"))


@pytest.mark.parametrize(
    "order", [np.arange(64) // 32, np.arange(64) % 2, np.full(64, -1)], ids=["turn", "mixed", "none"]
)
def test_compressed_tensors_with_groups_in_the_order_of_activations(order: NDArray[Any], tmp_path: Path) -> None:
    numbers, scales = SEED.integers(0, 16, (8, 64)), SEED.normal(0, 0.01, (8, 2)).astype(np.float32)
    config = {**CT, "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}}}}
    weights = stored(
        tmp_path / "m.safetensors",
        config,
        weight_packed=words(numbers.T, 4).T,
        weight_scale=scales,
        weight_shape=np.array([8, 64]),
        weight_g_idx=order.astype(np.int32),
    )
    groups = np.arange(64) // 32 if order[0] < 0 else order
    assert_equal(weights.array(NAME), (numbers - 8).astype(np.float32) * scales[:, groups])
