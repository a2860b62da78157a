"""What each part of the model wrote into the residual stream: the stream is a sum, and so is what is read off it.

nostalgebraist 2020, "interpreting GPT: the logit lens"; Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits" (direct logit attribution). All in the precision of the rows that are given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class StreamParts:
    """What each part added to the residual stream at one position."""

    embedding_D: Array
    heads_LHD: Array
    bias_LD: Array
    """What the attention's own bias adds: 0 where it has none."""
    attention_LD: Array
    """What the attention added in all: its heads, its bias, and what experiments made of them."""
    cross_LD: Array
    """What the attention to a source text adds: 0 where there is none."""
    state_LD: Array
    """What a layer's state adds: 0 where it has none."""
    feedforward_LD: Array
    experiment_D: Array
    """What experiments added to the stream itself, or took from it."""


def stream_parts(
    rows: Mapping[str, Array],
    arrays_of: Callable[[int], Mapping[str, Array]],
    layers: int,
    changed: Collection[int] = (),
) -> StreamParts | None:
    """The parts of the last stream from the rows seen at one position; None where the stream is not their sum (a model
    that norms the stream itself, or has none).

    `arrays_of` gives a layer's arrays. `changed` are the layers in or after which an experiment moved the stream.
    """
    embedding_D = rows["layers.0.input"]
    nothing_D, experiment_D = np.zeros_like(embedding_D), np.zeros_like(embedding_D)
    heads, biases = zip(*(_attention_parts(rows, arrays_of(layer), layer) for layer in range(layers)), strict=True)

    def added(step: str) -> Array:
        return np.stack([rows.get(f"layers.{layer}.{step}.output", nothing_D) for layer in range(layers)])

    attention_LD, cross_LD, feedforward_LD = added("attention"), added("cross_attention"), added("feedforward")
    state_LD = added("state")
    for layer in sorted(changed):
        added_D = attention_LD[layer] + cross_LD[layer] + state_LD[layer] + feedforward_LD[layer]
        before_D = rows[f"layers.{layer - 1}.output" if layer else "layers.0.input"]
        experiment_D = experiment_D + rows[f"layers.{layer}.output"] - (before_D + added_D)
    whole_D = embedding_D + (attention_LD + cross_LD + state_LD + feedforward_LD).sum(axis=0) + experiment_D
    last_D = rows[f"layers.{layers - 1}.output"]
    if not np.allclose(whole_D, last_D, atol=1e-3 * float(np.abs(last_D).max())):
        return None
    none_HD = np.zeros((max(map(len, heads)), nothing_D.size))  # Of a layer without attention.
    return StreamParts(
        embedding_D=embedding_D,
        heads_LHD=np.stack([heads_HD if len(heads_HD) else none_HD for heads_HD in heads]),
        bias_LD=np.stack(biases),
        attention_LD=attention_LD,
        cross_LD=cross_LD,
        state_LD=state_LD,
        feedforward_LD=feedforward_LD,
        experiment_D=experiment_D,
    )


def _attention_parts(rows: Mapping[str, Array], arrays: Mapping[str, Array], layer: int) -> tuple[Array, Array]:
    """What each head of a layer adds [H, D], and what its bias adds [D].

    Where a norm comes after the attention, each goes through it with the scale that it had for the whole.
    """
    nothing_D, name = np.zeros_like(rows["layers.0.input"]), f"layers.{layer}.attention"
    mixed_HE = rows.get(f"{name}.gated", rows.get(f"{name}.mixed"))
    if mixed_HE is None:
        return np.zeros((0, nothing_D.size)), nothing_D
    heads_HD = output_of_heads(mixed_HE, arrays.get("attention.output.weight"))
    bias_D = nothing_D + arrays.get("attention.output.bias", 0)
    unnormed_D = rows.get(f"{name}.unnormed")
    if unnormed_D is None:
        return heads_HD, bias_D
    factor_D = np.divide(rows[f"{name}.output"], unnormed_D, out=np.zeros_like(nothing_D), where=unnormed_D != 0)
    return heads_HD * factor_D, bias_D * factor_D


def output_of_heads(mixed_HE: Array, output_DHE: Array | None) -> Array:
    """What each head of one token adds to the stream, [H, D]: its mixed values times its columns of the output matrix.

    Their sum (and the bias, where there is one) is what the attention adds. A model without an output matrix lays the
    heads side by side.
    """
    heads, width = mixed_HE.shape
    if output_DHE is None:
        output_DHE = np.eye(heads * width, dtype=mixed_HE.dtype)
    parts_DHE = np.asarray(output_DHE, mixed_HE.dtype).reshape(-1, heads, width)
    added_HD: Array = np.einsum("he,dhe->hd", mixed_HE, parts_DHE)
    return added_HD


def norm_of_added(weights_TS: Array, value_SE: Array, output_DE: Array | None, gate_TE: Array | None = None) -> Array:
    """‖weight · value · W‖, [T, S]: how long the vector is that each key really adds to each query's stream; through
    that query's gate, where there is one.

    A large weight on a short value adds little (Kobayashi et al. 2020, "Attention is Not Only a Weight", section 3).
    """
    if gate_TE is not None:
        rows = ((slice(at, at + 1), value_SE * gate_E) for at, gate_E in enumerate(gate_TE))
        return np.concatenate([norm_of_added(weights_TS[row], gated_SE, output_DE) for row, gated_SE in rows])
    added_SD = value_SE if output_DE is None else value_SE @ output_DE.T
    lengths_S = np.sqrt(np.einsum("sd,sd->s", added_SD, added_SD))
    added_TS: Array = weights_TS * lengths_S
    return added_TS


def shares(parts_ND: Array, total_D: Array) -> Array:
    """The share of each part in a sum, [N]: its length along the total, divided by the total's. They sum to one."""
    shares_N: Array = parts_ND @ total_D / (total_D @ total_D)
    return shares_N
