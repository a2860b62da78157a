"""`forward --saliency`: which words the answer hangs on, by leaving each out.

Leaving out (occlusion: Zeiler and Fergus 2014, section 4.2; Li et al. 2016, "Understanding Neural Networks through
Representation Erasure"): no token may attend to it anywhere. The position that is read keeps its own stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from llminspect.analysis.candidates import NamedToken, named_token
from llminspect.core.tap import Chain, Tap
from llminspect.core.unembed import log_softmax
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llminspect.model.opened import Engine, Model

TOKENS_AT_ONCE = 2048
"""How many tokens go through the model at once."""


@dataclass(frozen=True)
class Saliency:
    """How the log-probability of the target falls without each token."""

    target: NamedToken
    logprob: float
    drops: list[float]
    """log p with the whole text − log p without the token (by gradients: about as much): above 0 the token speaks for
    the target."""
    by: Literal["leaving out", "gradient"] = "leaving out"


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

    Simonyan et al. 2013, "Deep Inside Convolutional Networks"; Denil et al. 2014 for the product. Raises UsageError for
    an engine without gradients.
    """
    engine, name = with_gradients(model), "layers.0.input"
    read = list(ids[: position + 1])
    logprob, values, slopes = engine.gradients(read, [name], position, target, None, Chain(taps))
    drops_T = (values[name] * slopes[name]).sum(axis=-1)
    return Saliency(named_token(model, target), logprob, drops_T.tolist(), "gradient")


def with_gradients(model: Model) -> Engine:
    """The model's engine. Raises UsageError where it has no gradients, or a source is read beside the text."""
    if model.engine is None:
        raise UsageError("--gradient needs an engine that has gradients", "give --engine jax as well")
    if model.source is not None:
        raise UsageError(f"--gradient: {model.name} reads a source text beside this one", "leave --gradient out")
    return model.engine
