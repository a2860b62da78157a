"""Weights and results that are no numbers: refused with their name, instead of being drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import ModelError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.core.array import Array
    from llminspect.files.prepared_file import Planned


def not_finite(names: Sequence[str]) -> ModelError:
    """That nothing which the model computes with these weights would be a number."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ModelError(
        f"weights hold NaN or infinity: {', '.join(names[:3])}{more}",
        "fetch the model again; llminspect verify shows how far the numbers go",
    )


def checked_array(planned: Planned) -> Array:
    """The array, read now. ModelError: it holds NaN or infinity."""
    from llminspect.files.weights import all_finite

    array = planned.read()
    if not all_finite(array):
        raise not_finite([planned.name])
    return array


def readable(compute: Callable[[], Array], check: bool) -> Array:
    """Logits [..., V]. UserError, if `check`: one of them is NaN or +∞, or a row is −∞ throughout."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        logits = compute()
        if check and not np.isfinite(np.max(logits, axis=-1)).all():
            raise UserError(
                "the numbers grow beyond what float32 holds, so the logits are no numbers",
                "llminspect verify shows in which layer",
            )
    return logits
