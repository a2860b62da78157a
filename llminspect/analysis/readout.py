"""How a model reads its answer off the residual stream: the final norm with its scale held, and the unembedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.opened import Model


def unembedding(model: Model) -> Array:
    """The matrix [V, D] whose rows the last hidden vector is multiplied with."""
    weight_VD = model.params.get("unembedding.weight")
    return model.params["embedding.weight"] if weight_VD is None else weight_VD


@dataclass(frozen=True)
class FrozenNorm:
    """The final norm as the linear map that it was for one vector: its scale held, so that parts of the vector can go
    through it one by one and still add up."""

    weight_D: Array
    """Weight times the held scale."""
    centred: bool
    """Whether the mean is taken off first (layer norm)."""
    bias_D: Array | None

    def __call__(self, part_D: Array) -> Array:
        """A part [..., D] of the vector through the norm, without the bias."""
        centred_D = part_D - part_D.mean(axis=-1, keepdims=True) if self.centred else part_D
        result: Array = centred_D * self.weight_D
        return result


def frozen_norm(model: Model, stream_D: Array, normed_D: Array) -> FrozenNorm:
    """The norm that made `normed_D` of `stream_D`, found from the two and the model's weights.

    Raises UsageError where the final norm is neither none, nor RMS, nor a layer norm.
    """
    weight = model.params.get("final.norm.weight")
    weight_D = np.ones_like(stream_D) if weight is None else np.asarray(weight)
    bias = model.params.get("final.norm.bias")
    target_D = normed_D.astype(np.float64) - (0 if bias is None else bias)
    for centred in (False, True):
        base_D = stream_D.astype(np.float64)
        base_D = (base_D - base_D.mean() if centred else base_D) * weight_D
        scale = float(base_D @ target_D / (base_D @ base_D))
        if np.allclose(scale * base_D, target_D, rtol=1e-3, atol=1e-4 * float(np.abs(target_D).max())):
            return FrozenNorm(weight_D * scale, centred, bias)
    raise UsageError(f"the final norm of {model.name} is of a kind that attribution does not know")
