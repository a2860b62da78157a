"""What of a model stands beside a head's own matrices: what its circuits hold of it, and what they leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llminspect.model.opened import Model


def folded_parts(model: Model, layer: int) -> list[str]:
    """What is in the numbers."""
    return list(_folded(model, layer))


def left_out_parts(model: Model, layer: int) -> list[str]:
    """What is not."""
    return list(_left_out(model, layer))


def _folded(model: Model, layer: int) -> Iterator[str]:
    config, params = model.config, model.params
    arrays = params.layer(layer)
    if config.keys_of(layer) != layer:
        yield f"keys and values are those of layer {config.keys_of(layer)}"
    if "attention.norm.weight" in arrays or config.weightless_norms:
        yield "the norm before the layer, of each token alone: its gain, and its size as a divisor"
    if config.sizes.Z:
        yield "OV: the gain of the norm of the shorter vector that values are made of"
    if "attention.norm_after.weight" in arrays:
        yield "the gain of the norm after the attention"
    if config.residual_scale != 1:
        yield f"the factor {config.residual_scale:g} on what is added to the stream"
    if params.get("final.norm.weight") is not None or config.weightless_norms:
        yield "the gain of the final norm, at a last stream of size 1 (root mean square)"
    if "final.projection.weight" in params:
        yield "the projection after the final norm"
    if config.logit_scale != 1:
        yield f"the factor {config.logit_scale:g} on the logits"
    if config.sizes.Z:
        yield "QK: both parts of a score, the one without positions and the rotated one, exact"
    normed = config.heads_normed or any(f"attention.query.{norm}.weight" in arrays for norm in ("norm", "norm_after"))
    if normed:
        yield "QK: the norms of queries and keys, exact"
    if "attention.query.bias" in arrays or "attention.key.bias" in arrays:
        yield "QK: the biases of queries and keys; that of queries is in what any query looks for"


def _left_out(model: Model, layer: int) -> Iterator[str]:
    config, params = model.config, model.params
    arrays = params.layer(layer)
    if layer:
        yield f"what layers 0 to {layer - 1} add to the stream: the numbers are for a token that is alone in the stream"
    if "middle.norm.weight" in arrays or "middle.twice.norm.weight" in arrays:
        yield "OV: the norms that the stream itself goes through after this layer"
    if config.sizes.Z:
        yield "OV: the size by which the shorter vector is divided"
    if config.value_norms:
        yield "OV: the size by which each value is divided"
    if "attention.norm_after.weight" in arrays:
        yield "OV: the size by which the norm after the attention divides"
    if config.clip is not None:
        yield f"OV: that values are kept between −{config.clip:g} and {config.clip:g}"
    if "attention.gate.weight" in arrays:
        yield "OV: the gate between 0 and 1 of each number that the head reads"
    if "attention.output.bias" in arrays:
        yield "OV: the bias of the output, which all heads share"
    if "laurel.left.weight" in arrays:
        yield "OV: the map of low rank beside the attention"
    if config.logit_cap is not None:
        yield f"OV: the cap of {config.logit_cap:g} on the logits"
    if config.score_cap is not None:
        yield f"QK: the cap of {config.score_cap:g} on the scores"
    if params.layer(layer).get("attention.sink") is not None:
        yield "QK: the sink, one more alternative that takes weight and gives nothing"
    if config.waves or "position.weight" in params:
        yield "QK: products of a token and a position; position · position is below"
    window = config.window_of(layer)
    if window is not None:
        yield f"QK: that only the last {window} tokens are seen"
    if "embedding.norm.weight" in params and (config.waves or "position.weight" in params):
        yield "that tokens and positions are normed together"
