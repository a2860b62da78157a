"""Products with matrices as the file has them, by compiled code (products.c); numpy is its oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from llminspect.errors import UsageError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.model.opened import Description

LARGE = 500_000_000
"""Weights above which a model is multiplied with as its file has it."""


def kept_in_blocks(
    description: Description,
    size: int,
    kernels: Literal["compiled", "none"] | None,
    finite: bool,
    note: Callable[[str], None] | None,
) -> dict[str, Any]:
    """The matrices of a model of `size` weights that stay as its file has them, by their names in the core.

    Where nothing is compiled there are none, which `note` is told, unless they were asked for. Raises UserError then,
    UsageError where the file has no such matrix, ModelError where, with `finite`, a weight is NaN or infinite.
    """
    if kernels == "none" or (kernels is None and size <= LARGE):
        return {}
    from llminspect.backends.kernels.matrices import matrices

    try:
        found = matrices(description, finite)
    except UserError as error:
        if kernels is not None:
            raise
        if note is not None:
            note(f"{error}; weights become float32, of 4 bytes each")
        return {}
    if kernels is not None and not found:
        raise nothing_quantized(description.name)
    return found


def nothing_quantized(name: str, rounding: bool = False) -> UsageError:
    """That there is nothing to multiply with as a file has it; or nothing in blocks, for which x could be rounded."""
    from llminspect.files.quant_types import COMPILED

    kinds = [name for name, kind in COMPILED.items() if kind.weights > 1 or not rounding]
    return UsageError(
        f"{name} has no matrix of {', '.join(kinds)} that compiled products are made with",
        "leave --kernels and --precision out, or take a GGUF file that is quantized",
    )
