"""Tensors from a file of `torch.save`, without running anything: its pickle is read as a list of instructions.

The file is a zip: `data.pkl` says which tensors there are, `data/N` holds the numbers. A pickle can call any function.
Here a few instructions are known, and two names: the ordered dictionary of a state dict, and the function that makes a
tensor of a part of the numbers. Anything else is refused.
"""

from __future__ import annotations

import io
import math
import pickletools
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError, reader
from llminspect.files.source import read_bounded
from llminspect.files.weights import dequantize

ANEW = "save it again with torch 1.6 or later"
LARGEST, LARGEST_PICKLE, MOST_TENSORS = 4 << 30, 1 << 20, 4096
_TYPES = {"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16"}
_DICTIONARY, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_MARK = object()
_ONE_BY_ONE = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "BINUNICODE", "SHORT_BINUNICODE", "LONG1"}
_NAMES = {_DICTIONARY, _TENSOR, *(f"torch {kind}" for kind in _TYPES)}


@dataclass(frozen=True)
class _PickledName:
    """A name in a pickle."""

    name: str


@dataclass(frozen=True)
class _TensorPart:
    """A tensor: which numbers it is of."""

    storage: tuple[Any, ...]
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@reader("the file of torch.save")
def read_tensors(path: Path) -> dict[str, Array]:
    """The tensors of a state dict by name, float32. ModelError: the file holds something else, or is broken."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_bounded(path, LARGEST, plain=True))) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            pickles = [name for name in entries if name.endswith("/data.pkl")]
            if len(pickles) != 1 or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
                raise ModelError(f"{str(path)!r:.300} is no file of torch.save", ANEW)
            front = pickles[0].removesuffix("data.pkl")
            if entries[pickles[0]].file_size > LARGEST_PICKLE:
                raise ModelError(f"{str(path)!r:.300} lists more than a state dict does")
            order = archive.read(f"{front}byteorder") if f"{front}byteorder" in entries else b"little"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # A text in it may be no Python of today.
                parts = _parts(archive.read(pickles[0]))
            if order != b"little" or len(parts) > MOST_TENSORS:
                raise ModelError(f"{str(path)!r:.300} holds numbers in an order, or in a number, that is not read")
            return {name: _array(archive, front, part) for name, part in parts.items()}
    except (zipfile.BadZipFile, zlib.error):
        raise ModelError(f"{str(path)!r:.300} is no file of torch.save", ANEW) from None


def _array(archive: zipfile.ZipFile, front: str, part: _TensorPart) -> Array:
    _, kind, key, _, count = part.storage
    type_name = _TYPES[kind.name.removeprefix("torch ")]
    numbers = dequantize(type_name, np.frombuffer(archive.read(f"{front}data/{key}"), np.uint8))
    size = math.prod(part.shape)
    whole = tuple(math.prod(part.shape[at + 1 :]) for at in range(len(part.shape)))
    if len(numbers) != count or part.offset + size > count or part.stride != whole:
        raise ModelError("a tensor is not where the file of torch.save says")
    return numbers[part.offset : part.offset + size].reshape(part.shape)


def _parts(data: bytes) -> dict[str, _TensorPart]:
    """What the pickle lists, instruction by instruction; ModelError for one that is not known."""
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    for opcode, given, _ in pickletools.genops(data):
        name, argument = opcode.name, cast("Any", given)
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            break
        if name in _ONE_BY_ONE or name in _VALUES:
            stack.append(_ONE_BY_ONE.get(name) if name in _ONE_BY_ONE else argument)
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise ModelError(f"the file of torch.save names {argument!r:.100}, which is not run")
            stack.append(_PickledName(argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memory[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memory[argument])
        elif name in _STEPS:
            _STEPS[name](stack)
        else:
            raise ModelError(f"the file of torch.save has the instruction {name}, which no state dict needs")
    found = stack[-1] if len(stack) == 1 else None
    if not isinstance(found, dict) or not all(isinstance(part, _TensorPart) for part in found.values()):
        raise ModelError("the file of torch.save holds no state dict: names with a tensor each")
    return found


def _since_mark(stack: list[Any]) -> list[Any]:
    at = max(index for index, value in enumerate(stack) if value is _MARK)
    values = stack[at + 1 :]
    del stack[at:]
    return values


def _several(stack: list[Any], count: int) -> None:
    values = tuple(stack[-count:])
    if len(values) != count:
        raise ValueError("too few values")
    del stack[-count:]
    stack.append(values)


def _set(stack: list[Any], values: list[Any]) -> None:
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str) or not isinstance(stack[-1], dict):
            raise ValueError("a key that is no text")
        stack[-1][key] = value


def _call(stack: list[Any]) -> None:
    given, function = stack.pop(), stack.pop()
    if function == _PickledName(_DICTIONARY) and given == ():
        stack.append({})
        return
    if function != _PickledName(_TENSOR) or not isinstance(given, tuple) or not 5 <= len(given) <= 7:
        raise ValueError("a call that is not known")
    storage, offset, shape, stride = given[:4]
    numbers = (offset, *shape, *stride)
    kind = storage[1] if isinstance(storage, tuple) and len(storage) == 5 else None
    if not isinstance(kind, _PickledName) or kind.name.removeprefix("torch ") not in _TYPES or len(shape) > 4:
        raise ValueError("a tensor that is not known")
    if not all(type(number) is int and 0 <= number < 1 << 40 for number in numbers):
        raise ValueError("a size that is none")
    stack.append(_TensorPart(storage, offset, tuple(shape), tuple(stride)))


def _set_pair(stack: list[Any]) -> None:
    value, key = stack.pop(), stack.pop()
    _set(stack, [key, value])


def _set_several(stack: list[Any]) -> None:
    values = _since_mark(stack)
    _set(stack, values)


_STEPS: dict[str, Any] = {
    "EMPTY_TUPLE": lambda stack: stack.append(()),
    "EMPTY_DICT": lambda stack: stack.append({}),
    "TUPLE": lambda stack: stack.append(tuple(_since_mark(stack))),
    "TUPLE1": lambda stack: _several(stack, 1),
    "TUPLE2": lambda stack: _several(stack, 2),
    "TUPLE3": lambda stack: _several(stack, 3),
    "BINPERSID": lambda stack: None,  # The tuple that says where the numbers lie stands for them.
    "REDUCE": _call,
    "SETITEM": _set_pair,
    "SETITEMS": _set_several,
    "BUILD": lambda stack: stack.pop(),  # A state dict's note of the modules' versions.
}
