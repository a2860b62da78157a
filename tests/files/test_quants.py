"""Every number type against the `gguf` package, bit for bit, on random bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest

from llminspect.errors import ModelError
from llminspect.files.quant_types import BY_NAME, BY_NUMBER, COMPILED, SAFETENSORS, TYPES
from llminspect.files.weights import CHUNK_WEIGHTS, DECODABLE, dequantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTIZED = [kind.name for kind in TYPES if kind.decode and kind.number is not None]
PLAIN = ["F32", "F16"]


def test_the_table_is_that_of_the_gguf_package() -> None:
    assert len(BY_NAME) == len(TYPES)
    assert len(BY_NUMBER) > 30
    for number, kind in BY_NUMBER.items():
        stated = gguf.GGMLQuantizationType(number)
        sizes = gguf.GGML_QUANT_SIZES[stated]
        # The package counts the two float16 numbers of a block of Q8_1 as float32; ggml itself has 36 bytes.
        assert (kind.name, (kind.weights, kind.bytes)) == (stated.name, (32, 36) if kind.name == "Q8_1" else sizes)
    assert {kind.name for kind in TYPES if kind.plain} <= SAFETENSORS.keys()
    quantized = [kind for kind in COMPILED.values() if not kind.plain]
    assert all(kind.decode and (kind.bytes % 2 == 0 or not kind.scales) for kind in quantized)


def by_the_formula(type_name: str, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The two types that the package does not decode, number by number as ggml's C code does."""
    out = []
    for block in raw:
        scale = block[:2].copy().view("<f2").astype("f4")[0]
        if type_name == "Q8_1":
            out += [np.float32(number) * scale for number in block[4:].view("i1")]
        else:
            out += [scale if block[2 + place // 8] >> place % 8 & 1 else -scale for place in range(128)]
    return np.array(out, np.float32)


def reference(type_name: str, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        if type_name in {"Q8_1", "Q1_0"}:
            return by_the_formula(type_name, raw)
        decoded = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[type_name])
    return np.asarray(decoded, np.float32).reshape(-1)


def assert_same_bits(got: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """The same bits, signs of zero and subnormals included; of a NaN only that it is one."""
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    nan = np.isnan(expected)
    assert np.array_equal(np.isnan(got), nan)
    assert np.array_equal(got[~nan].view(np.uint32), expected[~nan].view(np.uint32))


def random_blocks(type_name: str, blocks: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (blocks, BY_NAME[type_name].bytes), dtype=np.uint8)


@pytest.mark.parametrize("type_name", QUANTIZED + PLAIN)
def test_random_bytes_give_the_same_bits_as_the_gguf_package(type_name: str) -> None:
    raw = random_blocks(type_name, 1024, seed=1)
    assert_same_bits(dequantize(type_name, raw.reshape(-1)), reference(type_name, raw))


@pytest.mark.parametrize("type_name", QUANTIZED)
@pytest.mark.parametrize("half", [0x7E00, 0x7C00, 0xFC00, 0x0001, 0x83FF, 0x8000, 0x7BFF])
def test_scales_that_are_not_ordinary_numbers(type_name: str, half: int) -> None:
    # NaN, the two infinities, subnormals, minus zero and the largest number, wherever a block keeps a scale.
    raw = random_blocks(type_name, 64, seed=half)
    places = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "Q4_1": (0, 2), "Q5_1": (0, 2)}
    places |= {"Q4_K": (0, 2), "Q5_K": (0, 2), "TQ1_0": (52,), "TQ2_0": (64,), "IQ1_M": ()}
    for at in places.get(type_name, (0,)):
        raw[:, at : at + 2] = np.frombuffer(half.to_bytes(2, "little"), np.uint8)
    if type_name == "IQ1_M":  # Its scale lies in the upper halves of four bytes.
        raw[:, 49::2] = raw[:, 49::2] & 15 | np.array([half >> 4 * part & 15 for part in range(4)], np.uint8) << 4
    assert_same_bits(dequantize(type_name, raw.reshape(-1)), reference(type_name, raw))


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16", "F16"])
def test_weights_quantized_by_the_gguf_package_come_back(type_name: str) -> None:
    weights = np.random.default_rng(2).normal(0, 0.02, (8, 64)).astype(np.float32)
    raw = np.asarray(gguf.quants.quantize(weights, gguf.GGMLQuantizationType[type_name])).view(np.uint8)
    got = dequantize(type_name, raw.reshape(-1)).reshape(weights.shape)
    np.testing.assert_allclose(got, weights, atol=0.01)
    assert_same_bits(got.reshape(-1), reference(type_name, raw))


@pytest.mark.parametrize("type_name", QUANTIZED)
def test_pieces_join_without_a_seam(type_name: str) -> None:
    raw = random_blocks(type_name, CHUNK_WEIGHTS // BY_NAME[type_name].weights + 1, seed=3)
    assert_same_bits(dequantize(type_name, raw.reshape(-1)), reference(type_name, raw))


def test_float32_is_a_view_where_it_lies_straight_and_a_copy_where_not() -> None:
    raw = np.arange(64, dtype=np.uint8)
    assert np.shares_memory(dequantize("F32", raw), raw)
    assert_same_bits(dequantize("F32", raw[1:61]), np.frombuffer(raw.tobytes()[1:61], "<f4"))


def test_integers_and_doubles_are_widened() -> None:
    numbers = np.array([-3, 0, 100])
    for type_name, dtype in [("I8", "i1"), ("I16", "<i2"), ("I32", "<i4"), ("I64", "<i8"), ("F64", "<f8")]:
        raw = numbers.astype(dtype).view(np.uint8)
        assert dequantize(type_name, raw).tolist() == [-3.0, 0.0, 100.0]


def test_a_type_with_no_decoder_is_named_with_those_that_have_one() -> None:
    with pytest.raises(ModelError, match="Q8_K") as caught:
        dequantize("Q8_K", np.zeros(292, np.uint8))
    assert caught.value.hint is not None
    assert "Q4_1" in caught.value.hint
    assert "Q8_K" not in DECODABLE


@pytest.mark.filterwarnings("error")
def test_a_float64_beyond_float32_is_infinity_without_a_warning() -> None:
    raw = np.array([1e300, -1e300, 0.5]).view(np.uint8)
    assert dequantize("F64", raw).tolist() == [np.inf, -np.inf, 0.5]
