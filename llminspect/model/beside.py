"""What stands beside a layer: a convolution over what entered it, added to what leaves it (DeBERTa 2)."""

from __future__ import annotations

from llminspect.core.array import Array
from llminspect.core.feedforward import ACTIVATIONS
from llminspect.core.recurrence import convolved
from llminspect.model.layer import Layer, norm


def convolving(layer: Layer, entered_TD: Array, hidden_S: Array | None, left_TD: Array) -> Array:
    """The stream [..., T, D] that leaves the layer, with that and normed."""
    arrays, config, tap, name = layer.arrays, layer.config, layer.tap, f"{layer.name}.convolution"
    if hidden_S is not None:
        entered_TD = entered_TD * ~hidden_S[..., None]
    hidden_TD = tap(f"{name}.hidden", convolved(entered_TD, arrays["convolution.weight"], arrays["convolution.bias"]))
    sum_TD = left_TD + tap(f"{name}.output", ACTIVATIONS[str(config.bent)](hidden_TD))
    return norm(arrays, "convolution.norm", tap(f"{name}.sum", sum_TD), config)
