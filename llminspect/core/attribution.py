"""How much each part of the model adds to a logit: the residual stream is a sum, and so is what is read off it.

nostalgebraist 2020, "interpreting GPT: the logit lens"; Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits" (direct logit attribution). The final norm is taken with the scale that it had for the whole stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.head_output import output_of_heads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from llminspect.core.array import Array


@dataclass(frozen=True)
class Parts:
    """What each part adds to the residual stream at one position."""

    embedding_D: Array
    heads_LHD: Array
    rest_LD: Array
    """What the attention adds beside its heads: its bias."""
    cross_LD: Array
    """What the attention to a source text adds: 0 where there is none."""
    feedforward_LD: Array
    experiment_D: Array
    """What experiments added to the stream itself, or took from it."""


def head_parts(mixed_HE: Array, output_DI: Array | None, added_D: Array, unnormed_D: Array | None) -> Array:
    """What each head adds to the stream, [H, D].

    `mixed_HE` is the head's weighted sum of values, `output_DI` the matrix [D, H·E] that brings it into the stream
    (None: it is added as it is), `added_D` what the whole attention added, `unnormed_D` the same before a norm behind
    it: the norm acts with the scale that it had for the whole.
    """
    matrix = None if output_DI is None else np.asarray(output_DI, np.float64)
    parts_HD = output_of_heads(mixed_HE.astype(np.float64), matrix)
    if unnormed_D is not None:
        whole_D = unnormed_D.astype(np.float64)
        factor_D = np.divide(added_D, whole_D, out=np.zeros_like(whole_D), where=whole_D != 0)
        parts_HD = parts_HD * factor_D
    return parts_HD


def stream_parts(
    rows: Mapping[str, Array],
    layers: int,
    output_matrix: Callable[[int], Array | None],
    changed: Collection[int] = (),
) -> Parts | None:
    """The parts of the last stream from the rows seen at one position; None where the stream is not their sum (a model
    that norms the stream itself, or has none). `changed` are the layers behind which an experiment moved the stream."""
    embedding_D = rows["layers.0.input"].astype(np.float64)
    nothing_D, experiment_D = np.zeros_like(embedding_D), np.zeros_like(embedding_D)
    heads, rest, crossed, fed = [], [], [], []
    for layer in range(layers):
        added = rows.get(f"layers.{layer}.attention.output")
        crossed.append(rows.get(f"layers.{layer}.cross_attention.output", nothing_D).astype(np.float64))
        fed.append(rows.get(f"layers.{layer}.feedforward.output", nothing_D).astype(np.float64))
        if layer in changed:
            added_D = rows.get(f"layers.{layer}.attention.output", nothing_D) + crossed[-1] + fed[-1]
            experiment_D = experiment_D + rows[f"layers.{layer}.output"] - (rows[f"layers.{layer}.input"] + added_D)
        if added is None:
            heads.append(np.zeros((0, embedding_D.size)))
            rest.append(nothing_D)
            continue
        mixed_HE = rows[f"layers.{layer}.attention.mixed"]
        unnormed = rows.get(f"layers.{layer}.attention.unnormed")
        heads.append(head_parts(mixed_HE, output_matrix(layer), added, unnormed))
        rest.append(added - heads[-1].sum(axis=0))
    parts = Parts(embedding_D, np.stack(heads), np.stack(rest), np.stack(crossed), np.stack(fed), experiment_D)
    added_D = parts.heads_LHD.sum((0, 1)) + parts.rest_LD.sum(0) + parts.cross_LD.sum(0) + parts.feedforward_LD.sum(0)
    whole_D = embedding_D + added_D + experiment_D
    last_D = rows[f"layers.{layers - 1}.output"]
    return parts if np.allclose(whole_D, last_D, atol=1e-3 * float(np.abs(last_D).max())) else None
