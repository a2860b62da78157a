"""Products with matrices as the file quantizes them, by compiled code (products.c); numpy is its oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from llminspect.errors import UsageError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.model.opened import Description

LARGE = 500_000_000
"""Weights above which a quantized model is multiplied with as its file has it."""


def kept_in_blocks(
    description: Description,
    size: int,
    kernels: Literal["compiled", "none"] | None,
    finite: bool,
    note: Callable[[str], None] | None,
) -> dict[str, Any]:
    """The matrices of a model of `size` weights that stay as its file quantizes them, by their names in the core.

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


def nothing_quantized(name: str) -> UsageError:
    from llminspect.files.quant_types import COMPILED

    return UsageError(
        f"{name} has no matrix in blocks of {', '.join(COMPILED)} that compiled products are made with",
        "leave --kernels and --precision out, or take a GGUF file that is quantized",
    )
