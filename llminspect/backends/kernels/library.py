"""The compiled products (products.c): a library of C, opened where it was built and the processor can run it."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import ClassVar

from llminspect.core.array import Array
from llminspect.errors import UserError

_NUMBER, _SIZE, _ARRAY = ctypes.c_int, ctypes.c_ssize_t, ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[object, ...]] = {
    "arrange": (_NUMBER, _ARRAY, _SIZE, _SIZE, _ARRAY),
    "pack": (_NUMBER, _ARRAY, _SIZE, _SIZE, _SIZE, _ARRAY),
    "write_pieces": (_NUMBER, _NUMBER, _ARRAY, _SIZE, _SIZE, _ARRAY),
    "multiply": (*[_NUMBER] * 4, _ARRAY, _SIZE, _ARRAY, _SIZE, _SIZE, _ARRAY, _SIZE, _ARRAY),
    "multiply_row_by_each": (*[_NUMBER] * 3, _ARRAY, _ARRAY, _SIZE, _ARRAY, _ARRAY),
    "token_through_layers": (_ARRAY, _ARRAY, _ARRAY, _SIZE, *[_ARRAY] * 5),
    "by_digits": (),
}
_ANSWERING = {"write_pieces", "multiply_row_by_each", "token_through_layers", "by_digits"}
REINSTALL = "pip install --force-reinstall --no-deps llminspect-cli, where there is a C compiler; or --kernels none"


class Matrix(ctypes.Structure):
    """As in products.c."""

    _fields_: ClassVar = [("kind", _NUMBER), ("blocks", _ARRAY), ("row_bytes", _SIZE), ("rows", _SIZE)]


@cache
def library() -> ctypes.CDLL:
    """The library. Raises UserError where it is not there, or the processor has not its instructions."""
    found = [path for suffix in EXTENSION_SUFFIXES for path in Path(__file__).parent.glob(f"_products{suffix}")]
    if not found:
        raise UserError(
            "the compiled products are not there: no C compiler was found when llminspect was installed",
            REINSTALL,
        )
    try:
        opened = ctypes.CDLL(str(found[0]))
    except OSError as error:
        raise UserError(f"the compiled products cannot be opened: {error}", "--kernels none does without") from None
    if not opened.usable():
        raise UserError("this processor has no AVX2, which the compiled products need", "--kernels none does without")
    for name, arguments in _FUNCTIONS.items():
        function = getattr(opened, name, None)
        if function is None:
            raise UserError("the compiled products are those of another version of llminspect", REINSTALL)
        function.argtypes, function.restype = arguments, _NUMBER if name in _ANSWERING else None
    return opened


def address(array_N: Array) -> int:
    """Where the numbers of a contiguous array lie, in half the time of `array.ctypes`: a token takes hundreds."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array_N.data))
    except (TypeError, ValueError):  # It cannot be written to, or there is nothing in it.
        return int(array_N.ctypes.data)
