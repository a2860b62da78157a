"""What each layer, head and feed-forward step adds: `forward --attribution` to a logit, or to the difference of two;
`attend --contributions` to the stream itself.

With `--neurons` also the neurons that add most, of all layers. A feed-forward step adds the sum over its neurons of
activation · column (Geva et al. 2022, "Transformer Feed-Forward Layers Build Predictions by Promoting Concepts in the
Vocabulary Space"); each summand goes through the final norm as the other parts do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token
from llminspect.analysis.result import Dims
from llminspect.core.array import Array
from llminspect.core.attribution import shares, stream_parts
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Tap, Visit
from llminspect.errors import UsageError, UserError
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.analysis.experiments import Experiment
    from llminspect.analysis.trace import WatchedPass


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


def unembedding(model: Model) -> Array:
    """The matrix [V, D] whose rows the last hidden vector is multiplied with."""
    weight_VD = model.params.get("unembedding.weight")
    return model.params["embedding.weight"] if weight_VD is None else weight_VD


@dataclass(frozen=True)
class FrozenNorm:
    """A norm as the linear map that it was for one vector."""

    weight_D: Array
    centred: bool

    def __call__(self, part_D: Array) -> Array:
        """A part [..., D] of the vector, as it comes out."""
        result: Array = (part_D - part_D.mean(axis=-1, keepdims=True) if self.centred else part_D) * self.weight_D
        return result

    def turned(self, direction_D: Array) -> Array:
        """The vector whose product with what goes in is that of `direction_D` with what comes out."""
        result: Array = direction_D * self.weight_D
        return result - result.mean() if self.centred else result


def frozen_norm(model: Model, stream_D: Array, normed_D: Array) -> tuple[FrozenNorm, Array | None]:
    """The final norm as the linear map that it was for one vector, and its bias: its scale held, so that parts [..., D]
    of the vector can go through it one by one and still add up. It is found from the vector before and after.

    Raises UsageError where the final norm is neither none, nor RMS, nor a layer norm.
    """
    weight = model.params.get("final.norm.weight")
    weight_D = np.ones_like(stream_D) if weight is None else np.asarray(weight)
    bias = model.params.get("final.norm.bias")
    target_D = normed_D.astype(np.float64) - (0 if bias is None else bias)
    for centred in (False, True):
        base_D = stream_D.astype(np.float64)
        base_D = (base_D - base_D.mean() if centred else base_D) * weight_D
        scale = float(base_D @ target_D / (base_D @ base_D))
        if np.allclose(scale * base_D, target_D, rtol=1e-3, atol=1e-4 * float(np.abs(target_D).max())):
            return FrozenNorm(weight_D * scale, centred), bias
    raise UsageError(f"the final norm of {model.name} is of a kind that attribution does not know")


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
    state: float | None = None
    """Of a model whose layers keep a state: what that adds."""


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
    neurons: list[NeuronShare] | None = None
    """With --neurons: those that add or take most, of all layers; they are parts of the feed-forward steps."""


def attribute(
    model: Model,
    watched: WatchedPass,
    target: int,
    versus: int | None,
    experiments: Sequence[Experiment] = (),
    neurons: tuple[int, dict[int, Array]] | None = None,
) -> Attribution:
    """The parts at the position that was watched; `neurons` are how many of them are named, and the activations of
    all. Raises UsageError for a model whose stream is not a sum."""
    layers = model.config.sizes.L
    moved = {int(layer) for layer, _, part in (entry.where.partition(".") for entry in experiments) if part == "stream"}
    facts = [entry.dictionary for entry in experiments if entry.dictionary is not None]
    moved |= {dictionary.layer for dictionary in facts if dictionary.writes.count(".") == 2}
    rows = {name: row.astype(np.float64) for name, row in watched.rows.items()}
    parts = stream_parts(rows, model.params.layer, layers, moved)
    if parts is None:
        raise UsageError(f"--attribution: the residual stream of {model.name} is not the sum of what its layers add")
    if "head.weight" in model.params or "final.projection.weight" in model.params:
        raise UsageError(f"--attribution: {model.name} has one more layer between the last norm and its output matrix")
    last_D = watched.rows[f"layers.{layers - 1}.output"]
    norm, bias_D = frozen_norm(model, last_D, watched.capture.arrays.get("final.norm", [last_D])[0])

    def difference(values_V: Array) -> Array:
        """The target's value, or how far it lies above that of `versus`."""
        value: Array = np.asarray(values_V[target], np.float64)
        return value if versus is None else value - values_V[versus]

    direction_D = difference(unembedding(model)) * model.config.logit_scale

    def share(part: Array) -> Array:
        result: Array = norm(part) @ direction_D
        return result

    bias = 0.0 if bias_D is None else float(np.asarray(bias_D) @ direction_D)
    extra_V = model.params.get("unembedding.bias")
    if extra_V is not None:
        bias += float(extra_V[target] - (0 if versus is None else extra_V[versus])) * model.config.logit_scale
    # What the attention added beside its heads: its bias, and what experiments made of it.
    rest_LD = parts.attention_LD - parts.heads_LHD.sum(axis=1)
    heads_LH, rest_L, fed_L = share(parts.heads_LHD), share(rest_LD), share(parts.feedforward_LD)
    cross_L, state_L = share(parts.cross_LD), share(parts.state_LD)
    embedding, experiment = float(share(parts.embedding_D)), float(share(parts.experiment_D))
    logits_V = watched.capture.arrays.get("final.uncapped", watched.capture["final.logits"])[0]
    return Attribution(
        target=named_token(model, target),
        versus=None if versus is None else named_token(model, versus),
        logit=float(difference(logits_V)),
        sum=float(
            heads_LH.sum() + rest_L.sum() + cross_L.sum() + state_L.sum() + fed_L.sum() + embedding + bias + experiment
        ),
        embedding=embedding,
        bias=bias,
        layers=_by_layer(model, heads_LH, rest_L, fed_L, cross_L, state_L),
        experiment=experiment if moved else None,
        neurons=None if neurons is None else neuron_shares(model, neurons[1], norm.turned(direction_D), neurons[0]),
    )


def _by_layer(
    model: Model, heads_LH: Array, rest_L: Array, fed_L: Array, cross_L: Array, state_L: Array
) -> list[LayerShare]:
    return [
        LayerShare(
            layer,
            float(heads_LH[layer].sum() + rest_L[layer]),
            float(fed_L[layer]),
            heads_LH[layer].tolist(),
            None if model.source is None else float(cross_L[layer]),
            None if model.config.state is None else float(state_L[layer]),
        )
        for layer in range(model.config.sizes.L)
    ]


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
    state: Annotated[Array, Dims("L")] | None = None
    """What the layers add that have a state."""


def contributions(model: Model, rows: Mapping[str, Array], index: int, text: str) -> Contributions:
    """Take the stream of token `index` apart into what was written into it; `rows` are those that a pass had there.

    Raises UserError for a model whose layers do not simply add: there the parts do not sum to the stream.
    """
    sizes, arrays = model.config.sizes, model.params.layer(0)
    crossed = "cross_attention.query.weight" in arrays
    parts = None if crossed else stream_parts(rows, model.params.layer, sizes.L)
    if parts is None:
        scaled = "output.scale" in arrays or "per_layer.gate.weight" in arrays
        why = "a layer scales it, or adds more" if scaled else "its norms come after the sum"
        why = "the attention to the source adds its part" if crossed else why
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
        state=None if model.config.state is None else shares(parts.state_LD, final_D),
    )
