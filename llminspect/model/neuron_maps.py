"""One neuron of a feed-forward step by itself: the rows that it reads with, and the column that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.feedforward import Glu
from llminspect.errors import UsageError
from llminspect.model.config import Config
from llminspect.model.folded import FoldedNorm, columns, norm_before, norm_called, written
from llminspect.model.opened import Model


@dataclass(frozen=True)
class NeuronRow:
    """What is read: a product with the stream, before any bend."""

    name: str
    """"gate" and "up" of a gated step; "hidden" of one without a gate."""
    tap: str
    """The step of the pass in which it is one number of F."""
    read_D: Array
    """product = read · x, divided by the size of x, + constant: the norm's gain is folded in."""
    constant: float
    """What the biases make of it."""


@dataclass(frozen=True)
class NeuronMaps:
    """A neuron."""

    norm: FoldedNorm
    rows: list[NeuronRow]
    write_D: Array
    """What is added to the stream for an activation of 1."""
    tap: str
    """The step of the pass in which its activation is one number of F."""
    formula: str
    """How its activation is made of what it reads."""


def neuron_maps(model: Model, layer: int, neuron: int, expert: int | None) -> NeuronMaps:
    """Those of a neuron of a layer that is there. Raises UsageError where the layer has no such neuron."""
    config, arrays, what = model.config, model.params.layer(layer), f"layer {layer} of {model.name}"
    name, part, pick = f"layers.{layer}.feedforward", "feedforward", _whole
    if "feedforward.router.weight" in arrays:
        part, pick = _of_expert(arrays, what, expert), lambda array: array[expert]
        name = f"{name}.experts.{expert}"
    elif expert is not None:
        raise UsageError(f"{what} is no mixture of experts", f"write layer and neuron, such as {layer}.{neuron}")
    if f"{part}.down.weight" not in arrays:
        raise UsageError(f"{what} has no feed-forward step with neurons")
    down = pick(arrays[f"{part}.down.weight"])
    width = down.shape[1]
    if neuron >= width:
        raise UsageError(f"there is no neuron {neuron}", f"neurons of {what} run from 0 to {width - 1}")
    norm, gated = norm_before(arrays, "feedforward", config), f"{part}.gate.weight" in arrays
    rows = []
    for row in ("gate", "up") if gated else ("up",):
        row_1D = np.asarray(pick(arrays[f"{part}.{row}.weight"])[neuron : neuron + 1])
        bias = arrays.get(f"{part}.{row}.bias")
        constant = 0.0 if bias is None else float(pick(bias)[neuron])
        constant += 0.0 if norm.bias_D is None else float(row_1D[0] @ norm.bias_D)
        shown = row if gated else "hidden"
        rows.append(NeuronRow(shown, f"{name}.{shown}", norm.before(row_1D)[0], constant))
    write_D1 = written(arrays, "feedforward", config, columns(down, neuron, neuron + 1))
    return NeuronMaps(norm, rows, write_D1[:, 0], f"{name}.activation", _formula(config, gated))


def _whole(array: Any) -> Any:
    return array


def _of_expert(arrays: Mapping[str, Array], what: str, expert: int | None) -> str:
    """Where the experts' arrays are. Raises UsageError where there is no such expert, or norms stand around it."""
    experts = len(arrays["feedforward.router.weight"])
    if expert is None:
        raise UsageError(f"{what} is a mixture of {experts} experts", "write layer, expert and neuron, such as 3.2.7")
    if expert >= experts:
        raise UsageError(f"there is no expert {expert}", f"experts of {what} run from 0 to {experts - 1}")
    strange = [name for name in arrays if name.startswith("feedforward.routed.")]
    if strange:
        raise UsageError(
            f"the experts of {what} read and write through maps of their own ({strange[0]})",
            "a neuron of such an expert has no row and column in the stream that is shown",
        )
    return "feedforward.experts"


def _formula(config: Config, gated: bool) -> str:
    if not gated:
        return f"{config.ungated}(hidden)"
    unit = config.unit
    return (
        f"{unit.activation}(gate) · up" if isinstance(unit, Glu) else "gate · σ(gate) · (up + 1), both kept in bounds"
    )


def neuron_notes(model: Model, layer: int) -> tuple[list[str], list[str]]:
    """What of a model beside the neuron's matrices is in the numbers, and what is not."""
    config, arrays = model.config, model.params.layer(layer)
    folded, left_out = [], []
    if norm_before(arrays, "feedforward", config).epsilon is not None:
        folded.append("the norm before the step, of each token alone: its gain, and its size as a divisor")
    if "feedforward.norm_after.weight" in arrays:
        folded.append("the gain of the norm after the step")
        left_out.append("the size by which that norm divides")
    if config.residual_scale != 1:
        folded.append(f"the factor {config.residual_scale:g} on what is added to the stream")
    if norm_called(model.params, "final.norm", config).epsilon is not None:
        folded.append("the gain of the final norm, at a last stream of size 1 (root mean square)")
    if "final.projection.weight" in model.params:
        folded.append("the projection after the final norm")
    left_out.append("what else is in the stream: the products are for a token that is alone in it")
    if "feedforward.router.weight" in arrays:
        left_out.append("the weight that the router gives the expert")
    if "feedforward.shift" in arrays:
        left_out.append("that the step reads a mix of each token and the token before it")
    if "output.norm.weight" in arrays:
        left_out.append("the norms that the stream itself goes through from here on")
    if config.sparsity and config.sparsity[layer]:
        left_out.append("the cutoff below which gates are closed")
    if config.logit_cap is not None:
        left_out.append(f"the cap of {config.logit_cap:g} on the logits")
    return folded, left_out
