"""Products with matrices as the file has them, by compiled code (products.c); numpy is its oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from llminspect.errors import UsageError, UserError
from llminspect.model.opened import Description

LARGE = 500_000_000
"""Weights above which a model is multiplied with as its file has it, and …"""
WORTH_WRITING = 50_000_000
"""… from which on it is so to write, where the file quantizes: one row at a time is faster so, many are not."""


def kept_in_blocks(
    description: Description,
    size: int,
    kernels: Literal["compiled", "none"] | None,
    finite: bool,
    note: Callable[[str], None] | None,
    writing: bool = False,
) -> dict[str, Any]:
    """The matrices of a model of `size` weights that stay as its file has them, by their names in the core.

    Where nothing is compiled there are none, which `note` is told, unless they were asked for. Raises UserError then,
    UsageError where the file has no such matrix, ModelError where, with `finite`, a weight is NaN or infinite.
    """
    to_write = writing and size >= WORTH_WRITING and _quantized(description)
    if kernels == "none" or (kernels is None and size <= LARGE and not to_write):
        return {}
    from llminspect.backends.kernels.matrices import matrices

    try:
        found = matrices(description, finite)
    except UserError as error:
        if kernels is not None:
            raise
        if note is not None and size > LARGE:
            note(f"{error}; weights are kept as float32, with 4 bytes each")
        return {}
    if kernels is not None and not found:
        raise nothing_quantized(description.name)
    return found


def _quantized(description: Description) -> bool:
    from llminspect.files.quant_types import COMPILED

    weights = None if description.located is None else description.located.weights
    kinds = set() if weights is None else {COMPILED.get(tensor.type) for tensor in weights.tensors.values()}
    return any(kind is not None and kind.weights > 1 for kind in kinds)


def nothing_quantized(name: str, rounding: bool = False) -> UsageError:
    """That there is nothing to multiply with as a file has it; or nothing in blocks, for which x could be rounded."""
    from llminspect.files.quant_types import COMPILED

    kinds = [name for name, kind in COMPILED.items() if kind.weights > 1 or not rounding]
    return UsageError(
        f"{name} has no matrix of {', '.join(kinds)} that compiled products are made with",
        "leave --kernels and --precision out, or take a GGUF file that is quantized",
    )
