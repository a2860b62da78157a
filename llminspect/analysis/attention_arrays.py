"""The arrays that `attend --save F.npz` writes, a layer at a time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.attend import layers_and_heads
from llminspect.analysis.cross_attention import CROSS_WEIGHTS, encoder_of
from llminspect.analysis.target import with_source
from llminspect.core.tap import Enough, Until, Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llminspect.analysis.attend import AttendResult
    from llminspect.arguments.attend import AttendOptions
    from llminspect.core.array import Array
    from llminspect.files.npz import Streamed
    from llminspect.model.opened import Model


def attention_arrays(model: Model, asked: AttendOptions, result: AttendResult) -> dict[str, Any]:
    """`weights` [L, H, T, S] of the layers and heads that were asked for, whose numbers stand beside.

    Of an encoder–decoder `weights` are the target's own, beside `cross_weights` and `encoder_weights` of every layer
    and head. The weights go to the file as a pass of their own makes them: all of them at once may be many gigabytes.
    """

    ids = [token["id"] for token in result.tokens]
    arrays: dict[str, Any] = {}
    if result.source is not None:
        source_ids = [token["id"] for token in result.source]
        encoder, model = encoder_of(model), with_source(model, source_ids)
        sizes, own = model.config.sizes, encoder.config.sizes
        arrays["cross_weights"] = streamed_weights(
            model, ids, range(sizes.L), range(sizes.H), len(source_ids), CROSS_WEIGHTS
        )
        arrays["encoder_weights"] = streamed_weights(encoder, source_ids, range(own.L), range(own.H), len(source_ids))
        arrays["source_ids"] = np.array(source_ids)
    elif result.part == "encoder":
        model = encoder_of(model)
    layers, heads = layers_and_heads(model, asked)
    arrays |= {
        "weights": streamed_weights(model, ids, layers, heads, len(ids)),
        "layers": np.array(layers),
        "heads": np.array(heads),
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

    def produce(put: Callable[[Array], object]) -> None:

        names = [f"layers.{layer}.{step}" for layer in layers]

        def look(_: str, weights_HTS: Array) -> None:
            put(weights_HTS[list(heads)])

        with suppress(Enough):
            model.run(ids, Until(Visit(look, *names), *names))

    return Streamed((len(layers), len(heads), len(ids), keys), produce)
