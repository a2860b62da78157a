"""Normalisation: each token's vector is brought to a common size before a step reads it."""

from __future__ import annotations

from llminspect.core.array import Array, mean_of_last, namespace, overwrite


def rms_norm(x_TD: Array, weight_D: Array | None, epsilon: float) -> Array:
    """x / √(mean(x²) + ε) · weight, over the last axis (Zhang and Sennrich 2019, "Root Mean Square …")."""
    xp = namespace(x_TD)
    mean_square_T1 = mean_of_last(x_TD * x_TD)
    y_TD = x_TD / xp.sqrt(mean_square_T1 + epsilon)
    return y_TD if weight_D is None else overwrite("multiply", y_TD, weight_D)


def layer_norm(x_TD: Array, weight_D: Array | None, bias_D: Array | None, epsilon: float) -> Array:
    """(x − mean) / √(variance + ε) · weight + bias, over the last axis (Ba et al. 2016, eq. 4)."""
    xp = namespace(x_TD)
    centred_TD = x_TD - mean_of_last(x_TD)
    variance_T1 = mean_of_last(centred_TD * centred_TD)
    y_TD = overwrite("divide", centred_TD, xp.sqrt(variance_T1 + epsilon))
    if weight_D is not None:
        y_TD = overwrite("multiply", y_TD, weight_D)
    return y_TD if bias_D is None else overwrite("add", y_TD, bias_D)
