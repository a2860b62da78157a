"""Every number type of a weight file, in one table: its name, how it is stored, and how it becomes float32.

A quantized tensor is a row of blocks of 32 or 256 weights that share a scale (and a minimum). Each decoder takes blocks
as bytes [n, bytes of a block] and fills float32 [n, weights of a block]; the layouts are those of ggml
(`ggml-common.h`, `ggml-quants.c`), and the results are bit for bit those of the `gguf` package: the tests compare them.
A new type is a row of `TYPES` and, where it can be read, a decoder; those of few bits are in `quant_iq.py`. Q1_0 and
Q8_1, which the package does not decode, are read as ggml's C code defines them. numpy is loaded by the decoders alone:
a header is read without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]


class NumberType(NamedTuple):
    """One number type."""

    name: str
    weights: int
    """In a block; 1: plain numbers."""
    bytes: int
    """Of a block."""
    number: int | None = None
    """Of the type in a GGUF file (`enum ggml_type`)."""
    plain: str | None = None
    """numpy's name for the same numbers."""
    decode: Callable[[Bytes, Floats], None] | None = None
    """Blocks [n, bytes] to numbers [n, weights]."""
    scales: tuple[int, ...] = ()
    """Where in a block its float16 scales lie, of the types that compiled code multiplies with as they are."""


# -- Decoders ----------------------------------------------------------------------------------------------------------


def _bf16(numbers: Bytes, out: Floats) -> None:
    """bfloat16, which numpy lacks, is the upper half of a float32."""
    import numpy as np

    np.left_shift(numbers.view("<u2"), np.uint32(16), out=out.view("u4"), dtype=np.uint32)


# -- Blocks of 32 ------------------------------------------------------------------------------------------------------


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 number at a place of every block, as float32 [n, 1]."""
    return blocks[:, at : at + 2].copy().view("<f2").astype("f4")


def _of_32(
    blocks: Bytes, out: Floats, at: int, minus: int = 0, fifth: int | None = None, minimum: int | None = None
) -> None:
    """(number − minus) × scale + minimum. `at`, `fifth` and `minimum` say where in a block they lie, the scale at 0.

    4-bit numbers: the lower halves of all bytes first, then the upper halves. `fifth` are single bits, worth 16 each.
    """
    import numpy as np

    out[:, :16] = blocks[:, at:] & 15
    out[:, 16:] = blocks[:, at:] >> 4
    if fifth is not None:
        out += np.unpackbits(blocks[:, fifth : fifth + 4], axis=1, bitorder="little") << np.uint8(4)
    if minus:
        out -= minus
    out *= _half(blocks, 0)
    if minimum is not None:
        out += _half(blocks, minimum)


def _q8(blocks: Bytes, out: Floats, at: int = 2) -> None:
    """Between the scale and the numbers Q8_1 has the sum of its weights, for products with other blocks."""
    out[:] = blocks[:, at:].view("i1")
    out *= _half(blocks, 0)


_IQ4_VALUES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""A nibble is the number of one of these steps, closer together near 0 where most weights lie (`kvalues_iq4nl`)."""


def _looked_up(values: tuple[int, ...], places: NDArray[np.integer[Any]]) -> Floats:
    import numpy as np

    found: Floats = np.array(values, np.float32)[places]
    return found


def _steps_of_32(values: tuple[int, ...], packed: Bytes, scale: Floats, out: Floats) -> None:
    out[:, :16] = _looked_up(values, packed & 15)
    out[:, 16:] = _looked_up(values, packed >> 4)
    out *= scale


def _iq4_nl(blocks: Bytes, out: Floats) -> None:
    _steps_of_32(_IQ4_VALUES, blocks[:, 2:], _half(blocks, 0), out)


_FP4_VALUES = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""Twice the numbers that fit in 4 bits with 2 bits of exponent (OCP Microscaling Formats 1.0, section 5.3.3)."""


def _mxfp4(blocks: Bytes, out: Floats) -> None:
    import numpy as np

    exponent = blocks[:, :1].astype(np.uint32)
    # Half of 2^(exponent - 127), because the values are doubled; the two smallest are subnormal float32.
    half_scale = np.where(exponent < 2, np.uint32(0x00200000) << exponent, (exponent - 1) << 23).astype(np.uint32)
    _steps_of_32(_FP4_VALUES, blocks[:, 1:], half_scale.view(np.float32), out)


def _nvfp4(blocks: Bytes, out: Floats) -> None:
    """Four groups of 16, each with a scale of 4 bits of exponent and 3 of mantissa, its sign not read."""
    import numpy as np

    exponent, rest = blocks[:, :4] >> 3 & 15, (blocks[:, :4] & 7).astype("f4")
    power = np.exp2(exponent.astype("f4") - 8)  # Half of it, because the values are doubled.
    scales = np.where(exponent == 0, rest * np.float32(2**-10), (1 + rest / 8) * power)
    scales = np.where(blocks[:, :4] == 0x7F, np.float32(0), scales)
    groups = _shifted(blocks[:, 4:].reshape(-1, 4, 8), (0, 4), 15)
    _scale_groups(_looked_up(_FP4_VALUES, groups), scales, None, out)


# -- Blocks of 256 ("K-quants"): 8 or 16 groups, each with a small scale of its own ------------------------------------


def _shifted(packed: Bytes, shifts: tuple[int, ...], mask: int) -> Bytes:
    """Numbers of a few bits: uint8 [n, …, bytes] to [n, …, shifts, bytes], the lowest bits of all bytes first."""
    import numpy as np

    return (packed[..., None, :] >> np.array(shifts, np.uint8)[:, None]) & np.uint8(mask)


def _scales_and_minima(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The 6-bit scales and minima of 8 groups, packed in 12 bytes (`get_scale_min_k4`): each uint8 [n, 8]."""
    import numpy as np

    first, second, last = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 63, (last & 15) | ((first >> 2) & 48)], axis=1)
    minima = np.concatenate([second & 63, (last >> 4) | ((second >> 2) & 48)], axis=1)
    return scales, minima


def _scale_groups(numbers: NDArray[Any], scales: Floats, minima: Floats | None, out: Floats) -> None:
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
    numbers = (low | (high << 2)).view("i1") - 4
    low_scales = _shifted(blocks[:, 96:104], (0, 4), 15).reshape(-1, 16)
    high_scales = _shifted(blocks[:, 104:108], (0, 2, 4, 6), 3).reshape(-1, 16)
    scales = (low_scales | (high_scales << 4)).view("i1") - 32
    _scale_groups(numbers, _half(blocks, 108) * scales, None, out)


def _q45_k(blocks: Bytes, out: Floats, at: int, fifth: int | None = None) -> None:
    """Numbers of 4 bits at `at`, or of 5, their highest bits at `fifth`."""
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    numbers: NDArray[Any] = _shifted(blocks[:, at:].reshape(-1, 4, 32), (0, 4), 15).reshape(-1, 256)
    if fifth is not None:
        numbers = numbers | (_shifted(blocks[:, fifth : fifth + 32], tuple(range(8)), 1).reshape(-1, 256) << 4)
    _scale_groups(numbers, _half(blocks, 0) * scales, _half(blocks, 2) * minima, out)


def _q6_k(blocks: Bytes, out: Floats) -> None:
    low = _shifted(blocks[:, :128].reshape(-1, 2, 64), (0, 4), 15).reshape(-1, 256)
    high = _shifted(blocks[:, 128:192].reshape(-1, 2, 32), (0, 2, 4, 6), 3).reshape(-1, 256)
    numbers = (low | (high << 4)).view("i1") - 32
    _scale_groups(numbers, _half(blocks, 208) * blocks[:, 192:208].view("i1"), None, out)


def _iq4_xs(blocks: Bytes, out: Floats) -> None:
    import numpy as np

    high_bits = blocks[:, 2:4].copy().view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16)
    pairs = blocks[:, 4:8]
    low_bits = np.stack([pairs & 15, pairs >> 4], axis=2).reshape(-1, 8)
    scales = (low_bits | ((high_bits & 3).astype(np.uint8) << 4)).view("i1") - 32
    numbers = _looked_up(_IQ4_VALUES, _shifted(blocks[:, 8:].reshape(-1, 8, 16), (0, 4), 15))
    _scale_groups(numbers, _half(blocks, 0) * scales, None, out)


def _few_bits(blocks: Bytes, out: Floats, name: str) -> None:
    from llminspect.files import quant_iq

    getattr(quant_iq, name)(blocks, out)


def _float_8(blocks: Bytes, out: Floats, layout: str) -> None:
    from llminspect.files import quant_floats

    quant_floats.decode(blocks, out, layout)


# -- The table ---------------------------------------------------------------------------------------------------------

TYPES = (
    # In GGUF files; the numbers that are missing are of types no longer in use.
    NumberType("F32", 1, 4, 0, plain="<f4"),
    NumberType("F16", 1, 2, 1, plain="<f2"),
    NumberType("Q4_0", 32, 18, 2, decode=partial(_of_32, at=2, minus=8), scales=(0,)),
    NumberType("Q4_1", 32, 20, 3, decode=partial(_of_32, at=4, minimum=2), scales=(0, 2)),
    NumberType("Q5_0", 32, 22, 6, decode=partial(_of_32, at=6, fifth=2, minus=16), scales=(0,)),
    NumberType("Q5_1", 32, 24, 7, decode=partial(_of_32, at=8, fifth=4, minimum=2), scales=(0, 2)),
    NumberType("Q8_0", 32, 34, 8, decode=_q8, scales=(0,)),
    NumberType("Q8_1", 32, 36, 9, decode=partial(_q8, at=4)),
    NumberType("Q2_K", 256, 84, 10, decode=_q2_k),
    NumberType("Q3_K", 256, 110, 11, decode=_q3_k),
    NumberType("Q4_K", 256, 144, 12, decode=partial(_q45_k, at=16), scales=(0, 2)),
    NumberType("Q5_K", 256, 176, 13, decode=partial(_q45_k, at=48, fifth=16), scales=(0, 2)),
    NumberType("Q6_K", 256, 210, 14, decode=_q6_k, scales=(208,)),
    NumberType("Q8_K", 256, 292, 15),
    NumberType("IQ2_XXS", 256, 66, 16, decode=partial(_few_bits, name="iq2_xxs")),
    NumberType("IQ2_XS", 256, 74, 17, decode=partial(_few_bits, name="iq2_xs")),
    NumberType("IQ3_XXS", 256, 98, 18, decode=partial(_few_bits, name="iq3_xxs")),
    NumberType("IQ1_S", 256, 50, 19, decode=partial(_few_bits, name="iq1_s")),
    NumberType("IQ4_NL", 32, 18, 20, decode=_iq4_nl, scales=(0,)),
    NumberType("IQ3_S", 256, 110, 21, decode=partial(_few_bits, name="iq3_s")),
    NumberType("IQ2_S", 256, 82, 22, decode=partial(_few_bits, name="iq2_s")),
    NumberType("IQ4_XS", 256, 136, 23, decode=_iq4_xs, scales=(0,)),
    NumberType("I8", 1, 1, 24, plain="i1"),
    NumberType("I16", 1, 2, 25, plain="<i2"),
    NumberType("I32", 1, 4, 26, plain="<i4"),
    NumberType("I64", 1, 8, 27, plain="<i8"),
    NumberType("F64", 1, 8, 28, plain="<f8"),
    NumberType("IQ1_M", 256, 56, 29, decode=partial(_few_bits, name="iq1_m")),
    NumberType("BF16", 1, 2, 30, decode=_bf16),
    NumberType("TQ1_0", 256, 54, 34, decode=partial(_few_bits, name="tq1_0")),
    NumberType("TQ2_0", 256, 66, 35, decode=partial(_few_bits, name="tq2_0")),
    NumberType("MXFP4", 32, 17, 39, decode=_mxfp4),
    NumberType("NVFP4", 64, 36, 40, decode=_nvfp4),
    NumberType("Q1_0", 128, 18, 41, decode=partial(_few_bits, name="q1_0")),
    # In safetensors files alone; those of 6 and 4 bits count as blocks that fill whole bytes.
    NumberType("U8", 1, 1, plain="u1"),
    NumberType("U16", 1, 2, plain="<u2"),
    NumberType("U32", 1, 4, plain="<u4"),
    NumberType("U64", 1, 8, plain="<u8"),
    NumberType("BOOL", 1, 1, plain="u1"),
    NumberType("C64", 1, 8),
    *(
        NumberType(f"F8_{layout}", 1, 1, decode=partial(_float_8, layout=layout))
        for layout in ("E4M3", "E5M2", "E8M0", "E4M3FNUZ", "E5M2FNUZ")
    ),
    NumberType("F6_E2M3", 4, 3),
    NumberType("F6_E3M2", 4, 3),
    NumberType("F4", 2, 1),
)
BY_NAME = {kind.name: kind for kind in TYPES}
BY_NUMBER = {kind.number: kind for kind in TYPES if kind.number is not None}
SAFETENSORS = {kind.name: kind for kind in TYPES if kind.number is None or kind.weights == 1}
COMPILED = {kind.name: kind for kind in TYPES if kind.scales or kind.name in {"F32", "F16", "BF16", "MXFP4"}}
"""The types that compiled code multiplies with as they are."""
