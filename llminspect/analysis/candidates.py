"""Between ids and what a person types and reads: a token's text, and the token that `--target` means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.attention import softmax
from llminspect.core.sampling import top_ids
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.model.opened import Model


@dataclass(frozen=True)
class Candidate:
    """A token that may come next."""

    id: int
    text: str
    logit: float
    prob: float


def token_text(model: Model, token_id: int) -> str:
    """The token's text, with U+FFFD where its bytes are not whole characters; its number where there is no tokenizer.

    Rows of the vocabulary that no token of the tokenizer fills (padding) are named by their number as well.
    """
    if model.tokenizer is None:
        return f"#{token_id}"
    try:
        return model.tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")
    except UsageError:
        return f"#{token_id}"


def candidates(model: Model, logits_V: object, count: int) -> list[Candidate]:
    """The `count` most probable next tokens for logits [V]."""

    logits = np.asarray(logits_V)
    probabilities = softmax(logits)
    return [
        Candidate(token_id, token_text(model, token_id), logits[token_id], probabilities[token_id])
        for token_id in top_ids(logits, count)
    ]


@dataclass(frozen=True)
class NamedToken:
    """A token of the vocabulary."""

    id: int
    text: str
