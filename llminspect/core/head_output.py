"""What a head adds to the residual stream: its weighted values, taken through its part of the output matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from llminspect.core.array import Array


def output_of_heads(mixed_HE: Array, output_DHE: Array | None) -> Array:
    """What each head of one token adds to the stream, [H, D]: its mixed values times its columns of the output matrix.

    Their sum (and the bias, where there is one) is what the attention adds. A model without an output matrix lays the
    heads side by side.
    """
    heads, width = mixed_HE.shape
    if output_DHE is None:
        output_DHE = np.eye(heads * width, dtype=mixed_HE.dtype)
    parts_DHE = np.asarray(output_DHE).reshape(-1, heads, width)
    added_HD: Array = np.einsum("he,dhe->hd", mixed_HE, parts_DHE)
    return added_HD


def norm_of_added(weights_TS: Array, value_SE: Array, output_DE: Array | None) -> Array:
    """‖weight · value · W‖, [T, S]: how long the vector is that each key really adds to each query's stream.

    A large weight on a short value adds little (Kobayashi et al. 2020, "Attention is Not Only a Weight", section 3).
    """
    added_SD = value_SE if output_DE is None else value_SE @ output_DE.T
    lengths_S = np.sqrt(np.einsum("sd,sd->s", added_SD, added_SD))
    added_TS: Array = weights_TS * lengths_S
    return added_TS


def shares(parts_ND: Array, total_D: Array) -> Array:
    """The share of each part in a sum, [N]: its length along the total, divided by the total's. They sum to one."""
    shares_N: Array = parts_ND @ total_D / (total_D @ total_D)
    return shares_N
