"""The stream of many texts after each layer, one vector a text: what probes and directions are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal

import numpy as np

from llminspect.analysis.passes import run_until
from llminspect.analysis.prompt import check_prompt
from llminspect.core.array import Array
from llminspect.core.tap import Visit
from llminspect.errors import UsageError, UserError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt

TOKENS_AT_ONCE = 2048
"""How many tokens go through the model at once."""
LARGEST = 1 << 30
"""Bytes of all vectors together."""
EMBEDDING = -1
"""In place of a layer: the stream before the first."""
PoolOfText = Literal["last", "mean", "first"]


def streams_of(
    model: Model,
    prompts: Sequence[Prompt],
    layers: Sequence[int],
    pool: PoolOfText,
    progress: Callable[[int, int], object] | None = None,
) -> Array:
    """[L, N, D], float32: after each of the `layers`, of each text its last token, its first, or the mean over its own.

    Texts of one length run together. UserError: they would take more than LARGEST. UsageError: a text that the model
    cannot read.
    """
    size = 4 * len(layers) * len(prompts) * model.config.sizes.D
    if size > LARGEST:
        raise UserError(
            f"{len(prompts):,} texts, {len(layers)} places and {model.config.sizes.D} numbers each are more than "
            f"{LARGEST >> 30} GB",
            "take fewer layers, or fewer texts",
        )
    for number, prompt in enumerate(prompts):
        try:
            check_prompt(model, prompt)
        except UsageError as error:
            raise UsageError(f"text {number}: {error.message}", error.hint) from None
    taps = ("layers.0.input" if layer == EMBEDDING else f"layers.{layer}.output" for layer in layers)
    names = {tap: index for index, tap in enumerate(taps)}
    found_LND = np.empty((len(layers), len(prompts), model.config.sizes.D), np.float32)
    done = 0
    for batch in batches_of_one_length([len(prompt.ids) for prompt in prompts]):
        weights_BT = np.stack([weights_of(prompts[at], pool) for at in batch])

        def keep(name: str, array: Array, batch: Sequence[int] = batch, weights_BT: Array = weights_BT) -> None:
            stream_BTD = array.reshape(len(batch), -1, array.shape[-1])
            found_LND[names[name], batch] = np.einsum("bt,btd->bd", weights_BT, stream_BTD)

        ids_BT = np.array([prompts[at].ids for at in batch])
        run_until(model, ids_BT, Visit(keep, *names), names)  # type: ignore[arg-type]
        done += len(batch)
        if progress is not None:
            progress(done, len(prompts))
    if not np.isfinite(found_LND).all():
        raise UserError(
            "the numbers grow beyond what float32 holds, so the streams are not finite",
            "llminspect verify shows in which layer",
        )
    return found_LND


def weights_of(prompt: Prompt, pool: PoolOfText) -> Array:
    """How much of each token is in a text's vector, [T]. A start token and the like are no tokens of its own."""
    weight_T = np.zeros(len(prompt.tokens), np.float32)
    if pool == "mean":
        text = [index for index, token in enumerate(prompt.tokens) if token.start is not None]
        weight_T[text or slice(None)] = 1 / (len(text) or len(prompt.tokens))
    else:
        weight_T[-1 if pool == "last" else 0] = 1
    return weight_T


def batches_of_one_length(lengths: Sequence[int], most: int = TOKENS_AT_ONCE) -> Iterator[list[int]]:
    """Which texts go together, at most so many: some of one length after another, the shortest first."""
    order = sorted(range(len(lengths)), key=lambda at: lengths[at])
    for length, similar in groupby(order, lambda at: lengths[at]):
        same, size = list(similar), max(1, min(most, TOKENS_AT_ONCE // max(1, length)))
        yield from (same[start : start + size] for start in range(0, len(same), size))
