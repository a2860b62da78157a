"""How many tokens an image has by OpenAI's formula: tiles of 512 by 512, after it is made to fit.

Source: OpenAI, "Images and vision", "Calculating costs": fit into 2048 by 2048, the shorter side to 768, both only
down; `detail: low` has the first number alone. The size is read from the file's own header.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.text.openai_formula import ChatFormula

FIT, SHORTER, TILE = 2048, 768, 512
DETAILS = ("low", "high", "auto")
_DATA = re.compile(r"data:image/[\w.+-]+(?:;[^,;]*)*;base64,", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://.|data:.", re.IGNORECASE)


def image_tokens(formula: ChatFormula, part: Mapping[str, Any], number: int) -> int:
    """The tokens of an image in message `number`. Raises UsageError where the formula cannot say."""
    if formula.image is None:
        raise UsageError(
            f"message {number} holds an image, and how {formula.model} counts it is not known here",
            "leave it out, or name a model whose images are tiles: gpt-4o, gpt-4o-mini, gpt-4.1, o1, o3, gpt-5",
        )
    whole, tile = formula.image
    inner = part.get("image_url")
    given: Mapping[str, Any] = inner if isinstance(inner, dict) else {"url": inner}
    url, detail = given.get("url"), given.get("detail", part.get("detail", "auto"))
    if detail not in DETAILS and isinstance(detail, str):
        raise UsageError(f"the image of message {number} has the detail {detail!r:.40}", "low, high or auto")
    if not isinstance(url, str) or detail not in DETAILS or not _ADDRESS.match(url):
        raise UsageError(
            f"the image of message {number} is no object of a url and a detail",
            '{"type": "image_url", "image_url": {"url": "data:image/png;base64,…", "detail": "low"}}',
        )
    if detail == "low":
        return whole
    found = _DATA.match(url)
    size = None
    if found is not None:
        with suppress(binascii.Error, ValueError):
            size = image_size(base64.b64decode(url[found.end() :]))
    if size is None:
        what = "does not say its size" if found else "is at an address, which is not opened"
        if not found and url.casefold().startswith("data:"):
            what = "is no image in base64"
        raise UsageError(
            f"the image of message {number} {what}, so its tokens are not known",
            'give a PNG, JPEG, GIF or WebP as data:image/png;base64,…, or "detail": "low"',
        )
    return whole + tile * tiles(*size)


def tiles(width: int, height: int) -> int:
    """How many tiles cover an image.

    >>> [tiles(1024, 1024), tiles(2048, 4096), tiles(128, 64)]
    [4, 6, 1]
    """
    scale = min(Fraction(1), Fraction(FIT, max(width, height)))
    scale = min(scale, Fraction(SHORTER, min(width, height)))
    return ceil(width * scale / TILE) * ceil(height * scale / TILE)


def image_size(data: bytes) -> tuple[int, int] | None:
    """The width and height of a PNG, JPEG, GIF or WebP file; None for all else.

    >>> image_size(b"GIF89a" + bytes([3, 0, 2, 0]))
    (3, 2)
    """
    try:
        size = _size(data)
    except (struct.error, IndexError):  # It ends too early.
        return None
    return size if size and 0 < min(size) <= max(size) < 1 << 31 else None


def _size(data: bytes) -> tuple[int, int] | None:
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return _numbers(">II", data, 16)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _numbers("<HH", data, 6)
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if data[12:16] == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = _numbers("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF  # The other two bits are a scale for showing it.
    if data[12:16] == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if data[12:16] == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def _numbers(form: str, data: bytes, at: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, at)
    return first, second


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Of the first frame, which follows other segments."""
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # Any number of them may stand in front of a marker.
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = _numbers(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
