"""`forward --attribution`: what each layer, head and feed-forward step adds to a logit, or to the difference of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token
from llminspect.analysis.readout import frozen_norm, unembedding
from llminspect.core.attribution import stream_parts
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.analysis.experiments import Experiment
    from llminspect.analysis.forward_pass import WatchedPass
    from llminspect.core.array import Array
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class LayerShare:
    """What one layer adds."""

    layer: int
    attention: float
    """All its heads and its bias."""
    feedforward: float
    heads: list[float]
    cross: float | None = None
    """Of an encoder–decoder: the attention to the source text."""


@dataclass(frozen=True)
class Attribution:
    """The parts of a logit (with `versus`, of the difference of two logits). The parts add up to `sum`."""

    target: NamedToken
    versus: NamedToken | None
    logit: float
    """What the model computed (before a cap on the logits, where there is one)."""
    sum: float
    embedding: float
    bias: float
    layers: list[LayerShare]
    experiment: float | None = None
    """What --steer or --patch changed in the stream itself; None where nothing did."""


def attribute(
    model: Model, watched: WatchedPass, target: int, versus: int | None, experiments: Sequence[Experiment] = ()
) -> Attribution:
    """The parts at the position that was watched. Raises UsageError for a model whose stream is not a sum."""
    layers = model.config.sizes.L
    moved = {int(layer) for layer, part in (entry.where.split(".") for entry in experiments) if part == "stream"}
    rows = {name: row.astype(np.float64) for name, row in watched.rows.items()}
    parts = stream_parts(rows, model.params.layer, layers, moved)
    if parts is None:
        raise UsageError(f"--attribution: the residual stream of {model.name} is not the sum of what its layers add")
    norm = frozen_norm(model, watched.rows[f"layers.{layers - 1}.output"], watched.capture["final.norm"][0])

    def difference(values_V: Array) -> Array:
        """The target's value, or how far it lies above that of `versus`."""
        value: Array = np.asarray(values_V[target], np.float64)
        return value if versus is None else value - values_V[versus]

    direction_D = difference(unembedding(model))

    def share(part: Array) -> Array:
        result: Array = norm(part) @ direction_D
        return result

    bias = 0.0 if norm.bias_D is None else float(np.asarray(norm.bias_D) @ direction_D)
    extra_V = model.params.get("unembedding.bias")
    if extra_V is not None:
        bias += float(extra_V[target] - (0 if versus is None else extra_V[versus]))
    # What the attention added beside its heads: its bias, and what experiments made of it.
    rest_LD = parts.attention_LD - parts.heads_LHD.sum(axis=1)
    heads_LH, rest_L, fed_L = share(parts.heads_LHD), share(rest_LD), share(parts.feedforward_LD)
    cross_L = share(parts.cross_LD)
    embedding, experiment = float(share(parts.embedding_D)), float(share(parts.experiment_D))
    logits_V = watched.capture.arrays.get("final.uncapped", watched.capture["final.logits"])[0]
    return Attribution(
        target=named_token(model, target),
        versus=None if versus is None else named_token(model, versus),
        logit=float(difference(logits_V)),
        sum=float(heads_LH.sum() + rest_L.sum() + cross_L.sum() + fed_L.sum() + embedding + bias + experiment),
        embedding=embedding,
        bias=bias,
        layers=[
            LayerShare(
                layer,
                float(heads_LH[layer].sum() + rest_L[layer]),
                float(fed_L[layer]),
                heads_LH[layer].tolist(),
                None if model.source is None else float(cross_L[layer]),
            )
            for layer in range(layers)
        ],
        experiment=experiment if moved else None,
    )
