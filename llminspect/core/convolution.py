"""A convolution over the text: each vector becomes a sum of maps of those around it.

LeCun et al. 1989, "Backpropagation Applied to Handwritten Zip Code Recognition", here along one axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.core.array import namespace

if TYPE_CHECKING:
    from llminspect.core.array import Array


def convolved(x_TI: Array, weight_OIC: Array, bias_O: Array) -> Array:
    """The sum over c of x[t + c − C // 2] W[:, :, c]ᵀ, and the bias, [..., T, O]; around the text stands nought. C, how
    many tokens each sees, is odd.

    >>> import numpy as np
    >>> convolved(np.array([[1.0], [2.0], [4.0]]), np.array([[[1.0, 0.0, 10.0]]]), np.zeros(1)).ravel()
    array([20., 41.,  2.])
    """
    xp, kernel, tokens = namespace(x_TI), weight_OIC.shape[-1], x_TI.shape[-2]
    edge = xp.zeros_like(x_TI[..., :1, :])
    edges = [xp.broadcast_to(edge, (*edge.shape[:-2], kernel // 2, edge.shape[-1]))] if kernel > 1 else []
    padded = xp.concat([*edges, x_TI, *edges], axis=-2)
    sum_TO: Array = bias_O
    for place in range(kernel):
        sum_TO = sum_TO + padded[..., place : place + tokens, :] @ weight_OIC[:, :, place].T
    return sum_TO
