"""The arrays that `attend --save F.npz` writes, a layer at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.attend import layers_and_heads
from llminspect.analysis.passes import run_until
from llminspect.core.tap import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.analysis.attend import AttendResult
    from llminspect.arguments.attend import AttendOptions
    from llminspect.core.array import Array
    from llminspect.files.npz import Streamed
    from llminspect.model.opened import Model


def attention_arrays(model: Model, options: AttendOptions, result: AttendResult) -> dict[str, Any]:
    """`weights` [L, H, T, S] of the layers and heads that were chosen, with their numbers.

    Of an encoder–decoder `weights` are the target's, with `cross_weights` and `encoder_weights` of every layer and
    head. The weights go to the file as a pass of their own makes them: all of them at once may be many gigabytes.
    """
    from llminspect.analysis.cross_attention import CROSS_WEIGHTS, encoder_of
    from llminspect.analysis.prompt import with_source

    ids = [token["id"] for token in result.tokens]
    arrays: dict[str, Any] = {}
    if result.source is not None:
        source_ids = [token["id"] for token in result.source]
        encoder, model = encoder_of(model), with_source(model, source_ids)
        sizes, keys = model.config.sizes, len(source_ids)
        layers, heads = range(encoder.config.sizes.L), range(encoder.config.sizes.H)
        arrays["cross_weights"] = streamed_weights(model, ids, range(sizes.L), range(sizes.H), keys, CROSS_WEIGHTS)
        arrays["encoder_weights"] = streamed_weights(encoder, source_ids, layers, heads, keys)
        arrays["source_ids"] = np.array(source_ids)
    elif result.part == "encoder":
        model = encoder_of(model)
    chosen_layers, chosen_heads = layers_and_heads(model, options)
    arrays |= {
        "weights": streamed_weights(model, ids, chosen_layers, chosen_heads, len(ids)),
        "layers": np.array(chosen_layers),
        "heads": np.array(chosen_heads),
        "ids": np.array(ids),
    }
    if result.rollout is not None:
        arrays["rollout"] = result.rollout
    if result.find is not None:
        arrays["find"] = np.array([[found.layer, found.head, found.weight] for found in result.find.heads])
    return arrays


def streamed_weights(
    model: Model,
    ids: Sequence[int],
    layers: Sequence[int],
    heads: Sequence[int],
    keys: int,
    step: str = "attention.weights",
) -> Streamed:
    """The weights [L, H, T, S] of one kind of attention, made by a pass when they are written."""
    from llminspect.files.npz import Streamed

    def produce(put: Callable[[Array], Any]) -> None:
        names = [f"layers.{layer}.{step}" for layer in layers]
        run_until(model, ids, Visit(lambda _, weights_HTS: put(weights_HTS[list(heads)]), *names), names)

    return Streamed((len(layers), len(heads), len(ids), keys), produce)
