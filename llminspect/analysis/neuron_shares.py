"""`forward --attribution --neurons`: the neurons that add most to a logit, of all layers.

A feed-forward step adds the sum over its neurons of activation · column (Geva et al. 2022, "Transformer Feed-Forward
Layers Build Predictions by Promoting Concepts in the Vocabulary Space"); each summand goes through the final norm as
the other parts of an attribution do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Tap, Visit
from llminspect.errors import UsageError
from llminspect.model.opened import Model


@dataclass(frozen=True)
class NeuronShare:
    """What one neuron adds."""

    layer: int
    neuron: int
    activation: float
    """At the position that is looked at."""
    share: float
    """Of the logit (with --versus, of the difference of two)."""


def neuron_fault(model: Model) -> UsageError | None:
    """Why the shares of a model's neurons are not known; None where they are."""
    for layer in range(model.config.sizes.L):
        arrays = model.params.layer(layer)
        if "feedforward.down.weight" not in arrays or "feedforward.router.weight" in arrays:
            return UsageError(f"--neurons: layer {layer} of {model.name} has no neurons of its own", "leave it out")
        if "feedforward.norm_after.weight" in arrays:
            return UsageError(
                f"--neurons: {model.name} norms the sum of its neurons, so that none adds by itself", "leave it out"
            )
    return None


def activation_rows(model: Model, ids: Sequence[int], position: int, taps: Sequence[Tap]) -> dict[int, Array]:
    """The activations [F] of each layer's neurons at one position. Raises UsageError for a model without neurons whose
    summands are known."""
    fault = neuron_fault(model)
    if fault is not None:
        raise fault
    rows: dict[int, Array] = {}

    def look(name: str, array: Array) -> None:
        rows[int(name.split(".")[1])] = array[position].astype(np.float64)

    model.run(ids, Chain([*taps, Visit(look, "layers.*.feedforward.activation")]))
    return rows


def neuron_shares(model: Model, rows: dict[int, Array], read_D: Array, count: int) -> list[NeuronShare]:
    """Those that add or take most; `read_D` is what a vector of the stream is multiplied with to give its share."""
    found: list[NeuronShare] = []
    for layer, activation_F in rows.items():
        down_DF = np.asarray(model.params[f"layers.{layer}.feedforward.down.weight"])
        share_F = activation_F * (read_D.astype(np.float32) @ down_DF) * model.config.residual_scale
        best = np.argsort(-np.abs(share_F), kind="stable")[:count]
        found += [NeuronShare(layer, int(at), float(activation_F[at]), float(share_F[at])) for at in best]
    return sorted(found, key=lambda one: -abs(one.share))[:count]
