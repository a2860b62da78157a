"""How much of the final residual stream of one token each head wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from llminspect.analysis.documents import Dims
from llminspect.core.head_output import output_of_heads, shares
from llminspect.core.tap import Visit
from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.core.array import Array
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Contributions:
    """Shares of the stream behind the last layer, each part's length along it; all of them sum to one."""

    index: int
    text: str
    embedding: float
    heads: Annotated[Array, Dims("L H")]
    attention_bias: Annotated[Array, Dims("L")]
    """What the attention adds beside its heads."""
    feedforward: Annotated[Array, Dims("L")]
    scales_frozen: bool
    """The model norms what the attention adds; the heads are shown with the scale that this norm had."""


def contributions(model: Model, ids: Sequence[int], index: int, text: str) -> Contributions:
    """Take the stream of one token apart into what was written into it.

    Raises UserError for a model whose layers do not simply add: there the parts do not sum to the stream.
    """

    sizes, rows = model.config.sizes, dict[str, "Array"]()

    def look(name: str, array: Array) -> None:
        rows[name] = (array[:, index] if name.endswith("mixed") else array[index]).copy()

    steps = ("attention.mixed", "attention.output", "feedforward.output")
    final_D = model.run(ids, Visit(look, "layers.0.input", *(f"layers.*.{step}" for step in steps))).stream_TD[index]
    attention = [_of_layer(model, layer, rows) for layer in range(sizes.L)]
    nothing_D = np.zeros_like(final_D)
    feedforward_LD = np.stack([rows.get(f"layers.{layer}.feedforward.output", nothing_D) for layer in range(sizes.L)])
    heads_LHD, beside_LD = (np.stack(parts) for parts in zip(*attention, strict=True))
    total_D = rows["layers.0.input"] + heads_LHD.sum(axis=(0, 1)) + beside_LD.sum(axis=0) + feedforward_LD.sum(axis=0)
    if not np.allclose(total_D, final_D, rtol=1e-3, atol=1e-3 * float(np.abs(final_D).max())):
        crossed = "cross_attention.query.weight" in model.params.layer(0)
        why = "the attention to the source adds its part" if crossed else "its norms stand behind the sum"
        raise UserError(
            f"the layers of {model.name} do not simply add to the residual stream",
            f"{why}, so there are no shares of single heads",
        )
    return Contributions(
        index,
        text,
        float(shares(rows["layers.0.input"][None], final_D)[0]),
        shares(heads_LHD.reshape(-1, len(final_D)), final_D).reshape(sizes.L, sizes.H),
        shares(beside_LD, final_D),
        shares(feedforward_LD, final_D),
        scales_frozen="attention.norm_after.weight" in model.params.layer(0),
    )


def _of_layer(model: Model, layer: int, rows: dict[str, Array]) -> tuple[Array, Array]:
    """What each head of a layer adds [H, D], and what its attention adds beside them [D].

    Where a norm stands behind the attention, each head is taken through it with the scale that it has for all together.
    Raises UserError where that does not explain what the attention adds.
    """

    arrays = model.params.layer(layer)
    added_D = rows[f"layers.{layer}.attention.output"]
    heads_HD = output_of_heads(rows[f"layers.{layer}.attention.mixed"], arrays.get("attention.output.weight"))
    beside_D = arrays.get("attention.output.bias")
    beside_D = np.zeros_like(added_D) if beside_D is None else beside_D
    gain_D = arrays.get("attention.norm_after.weight")
    if gain_D is not None:
        normed_D = (heads_HD.sum(axis=0) + beside_D) * gain_D
        gain_D = gain_D * (added_D @ normed_D / (normed_D @ normed_D))
        heads_HD, beside_D = heads_HD * gain_D, beside_D * gain_D
    rest_D = added_D - heads_HD.sum(axis=0) - beside_D
    if not np.allclose(rest_D, 0, atol=1e-3 * max(1e-6, float(np.abs(added_D).max()))):
        raise UserError(f"what the attention of {model.name} adds is not the sum of its heads")
    return heads_HD, beside_D
