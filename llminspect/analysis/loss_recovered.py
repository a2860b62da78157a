"""How much of a model's loss is recovered when it goes on with rebuilt vectors in place of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from llminspect.analysis.feature_result import LossRecovered
from llminspect.core.array import Array
from llminspect.core.tap import Edit
from llminspect.core.unembed import log_softmax
from llminspect.model.hook_points import HookPlace
from llminspect.model.opened import Model, in_place_of

ROWS_AT_ONCE = 64
"""Positions that are multiplied with the vocabulary at once."""


def loss_recovered(
    model: Model, place: HookPlace, ids: Sequence[int], there: Array, rebuilt_TO: Array
) -> LossRecovered | None:
    """The loss with the vectors rebuilt, and with none; None where there is no next token to be scored."""
    if len(ids) < 2 or model.no_next_token() is not None:
        return None
    put = place.in_place(there, rebuilt_TO)
    alone = _bits(model, ids, None)
    rebuilt, zero = (_bits(model, ids, Edit(place.write, in_place_of, value)) for value in (put, np.zeros_like(put)))
    gap = zero - alone
    return LossRecovered(alone, rebuilt, zero, (zero - rebuilt) / gap if gap > 0 else None)


def _bits(model: Model, ids: Sequence[int], tap: Edit | None) -> float:
    """The mean of −log₂ of the probabilities of the tokens, each given those before it."""
    stream_TD = (model.run(ids) if tap is None else model.run(ids, tap)).stream_TD
    found = []
    for start in range(0, len(ids) - 1, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(ids) - 1)
        rows_tV = log_softmax(model.logits(stream_TD[start:stop]).astype(np.float64))
        found.append(rows_tV[np.arange(stop - start), np.asarray(ids[start + 1 : stop + 1])])
    return float(-np.concatenate(found).mean() / math.log(2))
