"""How much of the final residual stream of one token each head wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from llminspect.analysis.documents import Dims
from llminspect.core.attribution import shares, stream_parts
from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llminspect.core.array import Array
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Contributions:
    """Shares of the stream after the last layer, each part's length along it; all of them sum to one."""

    index: int
    text: str
    embedding: float
    heads: Annotated[Array, Dims("L H")]
    attention_bias: Annotated[Array, Dims("L")]
    """What the attention adds beside its heads."""
    feedforward: Annotated[Array, Dims("L")]
    scales_frozen: bool
    """The model norms what the attention adds; the heads are shown with the scale that this norm had."""


def contributions(model: Model, rows: Mapping[str, Array], index: int, text: str) -> Contributions:
    """Take the stream of token `index` apart into what was written into it; `rows` are those that a pass had there.

    Raises UserError for a model whose layers do not simply add: there the parts do not sum to the stream.
    """
    sizes, arrays = model.config.sizes, model.params.layer(0)
    crossed = "cross_attention.query.weight" in arrays
    parts = None if crossed else stream_parts(rows, model.params.layer, sizes.L)
    if parts is None:
        why = "the attention to the source adds its part" if crossed else "its norms come after the sum"
        raise UserError(
            f"the layers of {model.name} do not simply add to the residual stream",
            f"{why}, so there are no shares of single heads",
        )
    least_L1 = 1e-3 * np.maximum(1e-6, np.abs(parts.attention_LD).max(axis=1, keepdims=True))
    if not np.allclose(parts.heads_LHD.sum(axis=1) + parts.bias_LD, parts.attention_LD, rtol=0, atol=least_L1):
        raise UserError(f"what the attention of {model.name} adds is not the sum of its heads")
    final_D = rows[f"layers.{sizes.L - 1}.output"]
    return Contributions(
        index,
        text,
        embedding=float(shares(parts.embedding_D[None], final_D)[0]),
        heads=shares(parts.heads_LHD.reshape(-1, len(final_D)), final_D).reshape(sizes.L, sizes.H),
        attention_bias=shares(parts.bias_LD, final_D),
        feedforward=shares(parts.feedforward_LD, final_D),
        scales_frozen="attention.norm_after.weight" in arrays,
    )
