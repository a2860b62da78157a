"""A document as JSON: arrays as nested lists, float32 printed shortest, what is not finite as null."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from llminspect.analysis.result import given_fields


def json_bytes(document: Any, digits: int | None = None) -> bytes:
    """JSON with arrays as nested lists, float32 printed shortest, what is not finite as null, and a newline.

    Dataclasses become objects without the fields that are None; the library asks for each of them, which is quicker
    than looking for them here.
    """
    import orjson

    rounded = document if digits is None else _rounded(document, digits)
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
    if "numpy" in sys.modules:  # Else there is no array, and the library would load numpy to look for one.
        option |= orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(rounded, default=_plain, option=option)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt | MemoryError):  # It came inside `_plain`.
            raise error.__cause__ from None
        if "surrogates" not in str(error):
            raise
        return orjson.dumps(_valid(rounded), default=_plain, option=option)


def _valid(value: Any) -> Any:
    """The same with U+FFFD for what is not UTF-8 in its strings."""
    if isinstance(value, str):
        from llminspect.text.tokenizer import utf8

        return utf8(value).decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_valid(key): _valid(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(entry) for entry in value]
    return _valid(given_fields(value)) if dataclasses.is_dataclass(value) else value


def _plain(value: Any) -> Any:
    """What the JSON library does not take as it is: dataclasses, arrays that are not contiguous, bytes."""
    if dataclasses.is_dataclass(value):
        return given_fields(value)
    if isinstance(value, tuple):
        return list(value)  # One with names.
    if hasattr(value, "tolist"):
        import numpy as np

        return np.ascontiguousarray(value) if value.ndim else value.item()
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"cannot be written as JSON: {type(value).__name__}")


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {key: _rounded(entry, digits) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry, digits) for entry in value]
    if hasattr(value, "round") and hasattr(value, "dtype") and value.dtype.kind == "f":
        return value.round(digits)
    return _rounded(given_fields(value), digits) if dataclasses.is_dataclass(value) else value
