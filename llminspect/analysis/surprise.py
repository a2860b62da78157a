"""`forward --surprise`: the surprisal of each token of the text, and the text's perplexity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.surprisal import log_probabilities
from llminspect.core.tap import Chain, Tap
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.model.opened import Model

WINDOW = 2048
"""Tokens that are looked at together unless --window says otherwise; attention grows with the square of it."""


@dataclass(frozen=True)
class Surprise:
    """A text as the model scores it. The first token has nothing before it and is not scored (null)."""

    probs: list[float | None]
    bits: list[float | None]
    """−log₂ of the probability of each token given those before it."""
    total_bits: float
    scored: int
    perplexity: float | None
    """2 to the mean of the bits: among how many equally probable tokens the model was choosing, on average."""
    window: int | None = None
    """Where the text was longer than that: the tokens of a window; neighbours overlap by half."""


def surprise(model: Model, ids: Sequence[int], window: int | None, taps: Sequence[Tap]) -> Surprise:
    """Raises UsageError for a window that the model cannot hold, or a model that sees what comes after."""
    if not model.can("generate"):
        raise UsageError(f"--surprise: {model.name} sees the tokens that come after as well")
    context = model.config.sizes.context
    if window is not None and not 2 <= window <= context:
        raise UsageError(f"--window {window} is not possible", f"it takes 2 to {context} tokens of {model.name}")
    size = window or min(context, WINDOW)
    logprobs = log_probabilities(
        ids, size, size // 2, lambda part: model.run(part, Chain(taps)).stream_TD, model.logits
    )
    bits = [None if math.isnan(value) else -value / math.log(2) for value in logprobs.tolist()]
    scored = [value for value in bits if value is not None]
    return Surprise(
        probs=[None if math.isnan(value) else math.exp(value) for value in logprobs.tolist()],
        bits=bits,
        total_bits=float(np.sum(scored)),
        scored=len(scored),
        perplexity=_power(sum(scored) / len(scored)) if scored else None,
        window=size if len(ids) > size else None,
    )


def _power(mean_bits: float) -> float:
    return 2.0**mean_bits if mean_bits < 1023 else math.inf
