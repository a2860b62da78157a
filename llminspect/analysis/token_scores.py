"""A number for each token of the text: which ones the answer hangs on, and how surprising each is.

`forward --saliency`: leaving out (occlusion: Zeiler and Fergus 2014, section 4.2; Li et al. 2016, "Understanding Neural
Networks through Representation Erasure"): no token may attend to it anywhere. The position that is read keeps its own
stream. `forward --surprise`: the surprisal of each token, and the text's perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token
from llminspect.analysis.labels import no_next_token
from llminspect.core.dataclass import dataclass
from llminspect.core.tap import Chain, Tap
from llminspect.core.unembed import Score, log_probabilities, log_softmax
from llminspect.errors import UsageError
from llminspect.model.opened import Model, Slopes

TOKENS_AT_ONCE = 2048
"""How many tokens go through the model at once."""
WINDOW = 2048
"""Tokens that are looked at together unless --window says otherwise; attention grows with the square of it."""


Explained = Literal["logprob", "logit", "difference"]


@dataclass(frozen=True)
class Integrated:
    """What integrated gradients divide among the tokens, and how exactly."""

    of: Explained
    """The log-probability of the target (in nats), its logit, or its logit less that of versus."""
    versus: NamedToken | None
    baseline: str
    """`zero`, `mean`, or the text that stands there."""
    value: float
    """The number after the text …"""
    baseline_value: float
    """… and after the baseline."""
    steps: int
    """At how many points of the way the gradient was taken."""
    sum: float
    """Of all tokens' parts: `value` − `baseline_value`, but for …"""
    error: float
    """… this: `sum` less that difference."""


@dataclass(frozen=True)
class Saliency:
    """How the log-probability of the target falls without each token."""

    target: NamedToken
    logprob: float
    drops: list[float]
    """log p with the whole text − log p without the token (by gradients: about as much): above 0 the token speaks for
    the target."""
    by: Literal["leaving out", "gradient", "integrated gradients"] = "leaving out"
    integrated: Integrated | None = None
    """By integrated gradients: what `drops` are parts of, and how exactly."""


def saliency(model: Model, ids: Sequence[int], position: int, target: int, taps: Sequence[Tap]) -> Saliency:
    """Leave out each token up to `position`, many texts in one pass."""
    read = list(ids[: position + 1])
    # The first text leaves nothing out.
    hidden_BS = np.vstack([np.zeros(len(read), dtype=bool), np.eye(len(read), dtype=bool)])
    size = max(1, TOKENS_AT_ONCE // len(read))
    logprobs: list[float] = []
    for start in range(0, len(hidden_BS), size):
        part_BS = hidden_BS[start : start + size]
        batch_BT = np.broadcast_to(np.asarray(read), (len(part_BS), len(read)))
        stream_BTD = model.run(batch_BT, Chain(taps), hidden_S=part_BS).stream_TD
        logits_BV = model.logits(stream_BTD[:, -1, :]).astype(np.float64)
        logprobs += log_softmax(logits_BV)[:, target].tolist()
    return Saliency(named_token(model, target), logprobs[0], [logprobs[0] - without for without in logprobs[1:]])


def by_gradient(model: Model, ids: Sequence[int], position: int, target: int, taps: Sequence[Tap]) -> Saliency:
    """Gradient × input: how far log p would fall, were it a straight line, if a token's vector were brought to nought.

    Simonyan et al. 2013, "Deep Inside Convolutional Networks"; Denil et al. 2014 for the product.
    """
    engine, name = with_gradients(model), "layers.0.input"
    read = list(ids[: position + 1])
    tap = model.with_segments(Chain(taps), len(read))
    logprob, values, slopes = engine.gradients(read, [name], Score(position, target), tap)
    drops_T = (values[name] * slopes[name]).sum(axis=-1)
    return Saliency(named_token(model, target), logprob, drops_T.tolist(), "gradient")


def with_gradients(model: Model) -> Slopes:
    """What finds gradients of this model: its engine, or where that is numpy a tape. Raises UsageError where an engine
    would have to read a source beside the text."""
    if model.engine is None:
        from llminspect.analysis.gradients import OnTape  # And the derivative of every step.

        return OnTape(model)
    if model.source is not None:
        raise UsageError(f"--gradient: {model.name} reads a source text beside this one", "take --engine numpy")
    return model.engine


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


def surprise(
    model: Model, ids: Sequence[int], window: int | None, taps: Sequence[Tap], option: str = "--surprise"
) -> Surprise:
    """Raises UsageError, which names the `option`, for a window that the model cannot hold, or a model that sees what
    comes after."""
    if not model.can("generate"):
        if not model.config.causal and model.architecture.instead is None:
            raise UsageError(f"{option}: {model.name} sees the tokens that come after as well")
        raise no_next_token(model, option)
    most = model.most_tokens
    if window is not None and (window < 2 or (most is not None and window > most)):
        possible = "at least 2" if most is None else f"2 to {most}"
        raise UsageError(f"--window {window} is not possible", f"it takes {possible} tokens of {model.name}")
    size = window or min(model.config.sizes.context, WINDOW)
    logprobs = log_probabilities(
        ids, size, size // 2, lambda part: model.run(part, Chain(taps)).stream_TD, model.logits
    )
    bits = [None if math.isnan(value) else -value / math.log(2) for value in logprobs.tolist()]
    scored = [value for value in bits if value is not None]
    mean = sum(scored) / len(scored) if scored else 0.0
    return Surprise(
        probs=[None if math.isnan(value) else math.exp(value) for value in logprobs.tolist()],
        bits=bits,
        total_bits=float(np.sum(scored)),
        scored=len(scored),
        perplexity=(2.0**mean if mean < 1023 else math.inf) if scored else None,
        window=size if len(ids) > size else None,
    )
