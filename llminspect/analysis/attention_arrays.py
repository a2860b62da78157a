"""The attention of a text as arrays, for a file: made by passes of their own while it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.analysis.attend import AttendResult, layers_and_heads
from llminspect.analysis.changed import NO_CHANGE, ModelChanges, changed
from llminspect.analysis.passes import run_until
from llminspect.analysis.prompt import of_segments, segments_of, with_source
from llminspect.analysis.states import watch_states
from llminspect.arguments.attend import AttendOptions
from llminspect.core.array import Array
from llminspect.core.tap import Visit
from llminspect.model.opened import Model

if TYPE_CHECKING:
    from llminspect.files.npz import Streamed

WEIGHTS = "attention.weights"


def attention_arrays(
    model: Model, options: AttendOptions, result: AttendResult, *, changes: ModelChanges = NO_CHANGE
) -> dict[str, Any]:
    """`weights` [L, H, T, S] of the chosen layers and heads, with their numbers; of chosen layers with a state
    `state_weights` [L, T, S] as they are shown, and `state_layers`.

    Of an encoder–decoder `weights` are the target's, with `cross_weights` and `encoder_weights` of every layer and
    head. The weights go to the file as a pass of their own makes them: all of them at once may be many gigabytes.
    """
    from llminspect.analysis.cross_attention import CROSS_WEIGHTS, encoder_of

    ids = [token["id"] for token in result.tokens]
    arrays: dict[str, Any] = {}
    if result.source is not None:
        source_ids = [token["id"] for token in result.source]
        encoder, model = encoder_of(model), with_source(model, source_ids)
        sizes, keys = model.config.sizes, len(source_ids)
        layers, heads = range(encoder.config.sizes.L), range(encoder.config.sizes.H)
        arrays["cross_weights"] = _streamed(model, ids, range(sizes.L), range(sizes.H), keys, CROSS_WEIGHTS)
        arrays["encoder_weights"] = _streamed(encoder, source_ids, layers, heads, keys, WEIGHTS)
        arrays["source_ids"] = np.array(source_ids)
    elif result.part == "encoder":
        model = encoder_of(model)
    model, _ = changed(of_segments(model, segments_of(result.tokens)), changes, ids)
    chosen_layers, chosen_heads = layers_and_heads(model, options)
    arrays |= {
        "weights": _streamed(model, ids, chosen_layers, chosen_heads, len(ids), WEIGHTS),
        "layers": np.array(chosen_layers, int),
        "heads": np.array(chosen_heads),
        "ids": np.array(ids),
    }
    kept = [state for state in result.states or () if state.weights is not None]
    if result.states and not kept:
        kept = watch_states(model, ids, [state.layer for state in result.states], keep=True)
    if kept:
        arrays["state_weights"] = np.stack([state.weights for state in kept if state.weights is not None])
        arrays["state_layers"] = np.array([state.layer for state in kept])
    if result.rollout is not None:
        arrays["rollout"] = result.rollout
    if result.find is not None:
        arrays["find"] = np.array([[found.layer, found.head, found.weight] for found in result.find.heads])
    return arrays


def _streamed(
    model: Model, ids: Sequence[int], layers: Sequence[int], heads: Sequence[int], keys: int, step: str
) -> Streamed:
    """The weights [L, H, T, S] of one kind of attention, made by a pass when they are written."""
    from llminspect.files.npz import Streamed

    def produce(put: Callable[[Array], Any]) -> None:
        names = [f"layers.{layer}.{step}" for layer in layers]
        run_until(model, ids, Visit(lambda _, weights_HTS: put(weights_HTS[list(heads)]), *names), names)

    return Streamed((len(layers), len(heads), len(ids), keys), produce)
