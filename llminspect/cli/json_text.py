"""A document as JSON: arrays as nested lists, float32 printed shortest, what is not finite as null."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from llminspect.analysis.result import given_fields


def json_bytes(document: Any, digits: int | None = None) -> bytes:
    """JSON with arrays as nested lists, float32 printed shortest, what is not finite as null, and a newline.

    Dataclasses become objects without the fields that are None; the library asks for each of them, which is quicker
    than looking for them here.
    """
    import orjson

    rounded = document if digits is None else _with(partial(_rounded, digits), document)
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
        return orjson.dumps(_with(_valid, rounded), default=_plain, option=option)


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


def _with(change: Callable[[Any], Any], value: Any) -> Any:
    """The same with `change` done to all that holds nothing else."""
    if isinstance(value, dict):
        return {_with(change, key): _with(change, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_with(change, entry) for entry in value]
    return _with(change, given_fields(value)) if dataclasses.is_dataclass(value) else change(value)


def _rounded(digits: int, value: Any) -> Any:
    if isinstance(value, float):
        return round(value, digits)
    is_array = hasattr(value, "round") and hasattr(value, "dtype") and value.dtype.kind == "f"
    return value.round(digits) if is_array else value


def _valid(value: Any) -> Any:
    """With U+FFFD for what is not UTF-8."""
    from llminspect.text.tokenizer import utf8

    return utf8(value).decode("utf-8", "replace") if isinstance(value, str) else value
