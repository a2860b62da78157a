"""Number types of weight files, and from each of them to float32.

A quantized tensor is a row of blocks of 32 or 256 weights that share a scale (and a minimum). Each decoder below takes
blocks as bytes [n, bytes of a block] and fills float32 [n, weights of a block]; the layouts are those of ggml
(`ggml-common.h`, `ggml-quants.c`), and the results are bit for bit those of the `gguf` package: the tests compare them.
Weights are decoded in pieces small enough to stay in the processor's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llminspect.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

CHUNK_WEIGHTS = 1 << 16
"""Weights decoded at once: 256 KiB of float32, which a core's own cache holds."""


def dequantize(type_name: str, raw: NDArray[np.uint8], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Decode the bytes of a tensor.

    `raw` is uint8 [bytes], a whole number of blocks; the result is float32 [weights] (`out`, where given and of that
    size). A view of `raw` when that already is float32 and no `out` is given. ModelError: a type with no decoder here.
    """
    raw = raw.reshape(-1)
    if type_name in _PLAIN:
        numbers = _plain_view(type_name, raw)
        return _from_bfloat16(numbers, out) if type_name == "BF16" else _widened(numbers, out)
    if type_name not in _DECODERS:
        raise ModelError(
            f"weights of type {type_name} cannot be read",
            "types that can: " + ", ".join(sorted({*_PLAIN, *_DECODERS})),
        )
    per_block, block_bytes, decode = _DECODERS[type_name]
    blocks = raw.reshape(-1, block_bytes)
    floats = np.empty(len(blocks) * per_block, np.float32) if out is None else out.reshape(-1)
    by_block = floats.reshape(-1, per_block)
    step = CHUNK_WEIGHTS // per_block
    with np.errstate(invalid="ignore", over="ignore"):  # A scale may be NaN or infinite; that is for the reader to see.
        for start in range(0, len(blocks), step):
            decode(blocks[start : start + step], by_block[start : start + step])
    return floats


def readable_types() -> frozenset[str]:
    """The types that `dequantize` decodes."""
    return frozenset({*_PLAIN, *_DECODERS})


# -- Plain numbers -----------------------------------------------------------------------------------------------------

_PLAIN = {
    "F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2",
    "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "u1",
}  # fmt: skip


def _plain_view(type_name: str, raw: Bytes) -> NDArray[np.generic]:
    dtype = np.dtype(_PLAIN[type_name])
    if raw.ctypes.data % dtype.itemsize:
        raw = raw.copy()  # Numbers that do not lie where the processor wants them: copied once, fast ever after.
    return raw.view(dtype)


def _widened(numbers: NDArray[np.generic], out: Floats | None) -> Floats:
    with np.errstate(over="ignore"):  # A float64 beyond float32 becomes infinity, of which the reader is told.
        if out is None:
            return numbers.astype(np.float32, copy=False)
        out.reshape(-1)[:] = numbers
        return out.reshape(-1)


def _from_bfloat16(upper_halves: NDArray[np.generic], out: Floats | None) -> Floats:
    """bfloat16, which numpy lacks, is the upper half of a float32."""
    target = np.empty(upper_halves.size, np.float32) if out is None else out.reshape(-1)
    np.left_shift(upper_halves, np.uint32(16), out=target.view(np.uint32), dtype=np.uint32)
    return target


# -- Blocks of 32 ------------------------------------------------------------------------------------------------------


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 number at a place of every block, as float32 [n, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Bytes, out: Floats) -> None:
    """4-bit numbers: the lower halves of all bytes first, then the upper halves."""
    half = out.shape[1] // 2
    out[:, :half] = packed & 15
    out[:, half:] = packed >> 4


def _fifth_bit(bits: Bytes) -> Bytes:
    """32 single bits a block, worth 16 each: uint8 [n, 32]."""
    return np.unpackbits(bits, axis=1, bitorder="little") << np.uint8(4)


def _nibbles_and_bit(packed: Bytes, bits: Bytes, out: Floats) -> None:
    high = _fifth_bit(bits)
    out[:, :16] = (packed & 15) | high[:, :16]
    out[:, 16:] = (packed >> 4) | high[:, 16:]


def _q4_0(blocks: Bytes, out: Floats) -> None:
    _nibbles(blocks[:, 2:], out)
    out -= 8
    out *= _half(blocks, 0)


def _q4_1(blocks: Bytes, out: Floats) -> None:
    _nibbles(blocks[:, 4:], out)
    out *= _half(blocks, 0)
    out += _half(blocks, 2)


def _q5_0(blocks: Bytes, out: Floats) -> None:
    _nibbles_and_bit(blocks[:, 6:], blocks[:, 2:6], out)
    out -= 16
    out *= _half(blocks, 0)


def _q5_1(blocks: Bytes, out: Floats) -> None:
    _nibbles_and_bit(blocks[:, 8:], blocks[:, 4:8], out)
    out *= _half(blocks, 0)
    out += _half(blocks, 2)


def _q8_0(blocks: Bytes, out: Floats) -> None:
    out[:] = blocks[:, 2:].view(np.int8)
    out *= _half(blocks, 0)


_IQ4_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
"""A nibble is the number of one of these steps, closer together near 0 where most weights lie (`kvalues_iq4nl`)."""


def _iq4_nl(blocks: Bytes, out: Floats) -> None:
    packed = blocks[:, 2:]
    out[:, :16] = _IQ4_VALUES[packed & 15]
    out[:, 16:] = _IQ4_VALUES[packed >> 4]
    out *= _half(blocks, 0)


_FP4_VALUES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)
"""Twice the numbers that fit in 4 bits with 2 bits of exponent (OCP Microscaling Formats 1.0, section 5.3.3)."""


def _mxfp4(blocks: Bytes, out: Floats) -> None:
    exponent = blocks[:, :1].astype(np.uint32)
    # Half of 2^(exponent - 127), because the values are doubled; the two smallest are subnormal float32.
    half_scale = np.where(exponent < 2, np.uint32(0x00200000) << exponent, (exponent - 1) << 23).astype(np.uint32)
    packed = blocks[:, 1:]
    out[:, :16] = _FP4_VALUES[packed & 15]
    out[:, 16:] = _FP4_VALUES[packed >> 4]
    out *= half_scale.view(np.float32)


# -- Blocks of 256 ("K-quants"): 8 or 16 groups, each with a small scale of its own ------------------------------------


def _shifted(packed: Bytes, shifts: tuple[int, ...], mask: int) -> Bytes:
    """Numbers of a few bits: uint8 [n, …, bytes] to [n, …, shifts, bytes], the lowest bits of all bytes first."""
    return (packed[..., None, :] >> np.array(shifts, np.uint8)[:, None]) & np.uint8(mask)


def _scales_and_minima(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The 6-bit scales and minima of 8 groups, packed in 12 bytes (`get_scale_min_k4`): each uint8 [n, 8]."""
    first, second, last = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, (last & 15) | ((first >> 2) & 48)], axis=1)
    minima = np.concatenate([second & 63, (last >> 4) | ((second >> 2) & 48)], axis=1)
    return scales, minima


def _scale_groups(numbers: Bytes | NDArray[np.int8], scales: Floats, minima: Floats | None, out: Floats) -> None:
    """numbers × scale − minimum, group by group; scales and minima are float32 [n, groups]."""
    groups = out.reshape(*scales.shape, -1)
    groups[:] = numbers.reshape(groups.shape)
    groups *= scales[..., None]
    if minima is not None:
        groups -= minima[..., None]


def _q2_k(blocks: Bytes, out: Floats) -> None:
    both = blocks[:, :16]
    numbers = _shifted(blocks[:, 16:80].reshape(-1, 2, 32), (0, 2, 4, 6), 3)
    _scale_groups(numbers, _half(blocks, 80) * (both & 15), _half(blocks, 82) * (both >> 4), out)


def _q3_k(blocks: Bytes, out: Floats) -> None:
    low = _shifted(blocks[:, 32:96].reshape(-1, 2, 32), (0, 2, 4, 6), 3).reshape(-1, 256)
    high = _shifted(blocks[:, :32], tuple(range(8)), 1).reshape(-1, 256)
    numbers = (low | (high << 2)).view(np.int8) - np.int8(4)
    low_scales = _shifted(blocks[:, 96:104], (0, 4), 15).reshape(-1, 16)
    high_scales = _shifted(blocks[:, 104:108], (0, 2, 4, 6), 3).reshape(-1, 16)
    scales = (low_scales | (high_scales << 4)).view(np.int8) - np.int8(32)
    _scale_groups(numbers, _half(blocks, 108) * scales, None, out)


def _q4_k(blocks: Bytes, out: Floats) -> None:
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    numbers = _shifted(blocks[:, 16:].reshape(-1, 4, 32), (0, 4), 15)
    _scale_groups(numbers, _half(blocks, 0) * scales, _half(blocks, 2) * minima, out)


def _q5_k(blocks: Bytes, out: Floats) -> None:
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    low = _shifted(blocks[:, 48:].reshape(-1, 4, 32), (0, 4), 15).reshape(-1, 256)
    high = _shifted(blocks[:, 16:48], tuple(range(8)), 1).reshape(-1, 256)
    _scale_groups(low | (high << 4), _half(blocks, 0) * scales, _half(blocks, 2) * minima, out)


def _q6_k(blocks: Bytes, out: Floats) -> None:
    low = _shifted(blocks[:, :128].reshape(-1, 2, 64), (0, 4), 15).reshape(-1, 256)
    high = _shifted(blocks[:, 128:192].reshape(-1, 2, 32), (0, 2, 4, 6), 3).reshape(-1, 256)
    numbers = (low | (high << 4)).view(np.int8) - np.int8(32)
    _scale_groups(numbers, _half(blocks, 208) * blocks[:, 192:208].view(np.int8), None, out)


def _iq4_xs(blocks: Bytes, out: Floats) -> None:
    high_bits = np.ascontiguousarray(blocks[:, 2:4]).view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16)
    pairs = blocks[:, 4:8]
    low_bits = np.stack([pairs & 15, pairs >> 4], axis=2).reshape(-1, 8)
    scales = (low_bits | ((high_bits & 3).astype(np.uint8) << 4)).view(np.int8) - np.int8(32)
    numbers = _IQ4_VALUES[_shifted(blocks[:, 8:].reshape(-1, 8, 16), (0, 4), 15)]
    groups = out.reshape(-1, 8, 32)
    groups[:] = numbers.reshape(groups.shape)
    groups *= (_half(blocks, 0) * scales)[..., None]


_DECODERS: dict[str, tuple[int, int, Callable[[Bytes, Floats], None]]] = {
    # Name: weights a block, bytes a block, decoder.
    "Q4_0": (32, 18, _q4_0),
    "Q4_1": (32, 20, _q4_1),
    "Q5_0": (32, 22, _q5_0),
    "Q5_1": (32, 24, _q5_1),
    "Q8_0": (32, 34, _q8_0),
    "IQ4_NL": (32, 18, _iq4_nl),
    "MXFP4": (32, 17, _mxfp4),
    "Q2_K": (256, 84, _q2_k),
    "Q3_K": (256, 110, _q3_k),
    "Q4_K": (256, 144, _q4_k),
    "Q5_K": (256, 176, _q5_k),
    "Q6_K": (256, 210, _q6_k),
    "IQ4_XS": (256, 136, _iq4_xs),
}
