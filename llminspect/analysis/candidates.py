"""Tokens of the vocabulary as Results name them: by id and text, with a probability, a logit or a rank."""

from __future__ import annotations

from collections.abc import Sequence

from llminspect.core.array import Array
from llminspect.core.attention import softmax
from llminspect.core.dataclass import dataclass
from llminspect.core.sampling import top_ids
from llminspect.model.opened import Model


@dataclass(frozen=True)
class NamedToken:
    """A token of the vocabulary."""

    id: int
    text: str


@dataclass(frozen=True)
class Candidate(NamedToken):
    """A token that may come next."""

    logit: float
    prob: float


@dataclass(frozen=True)
class ProbableToken(NamedToken):
    """A token and how probable it is."""

    prob: float


@dataclass(frozen=True)
class RankedToken(ProbableToken):
    """Where a token stands among all: rank 0 is the most probable."""

    rank: int


def token_text(model: Model, token_id: int) -> str:
    """The token's text, with U+FFFD where its bytes are not whole characters; its number where there is no tokenizer.

    Rows of the vocabulary that no token of the tokenizer fills (padding) are named by their number as well.
    """
    if model.tokenizer is None:
        return f"#{token_id}"
    return model.tokenizer.shown_bytes(token_id).decode("utf-8", errors="replace")


def named_token(model: Model, token_id: int) -> NamedToken:
    return NamedToken(token_id, token_text(model, token_id))


def candidates(model: Model, logits_V: Array, count: int) -> list[Candidate]:
    """The `count` most probable next tokens for logits [V]."""
    probabilities_V = softmax(logits_V)
    return [
        Candidate(token_id, token_text(model, token_id), logits_V[token_id], probabilities_V[token_id])
        for token_id in top_ids(logits_V, count)
    ]


def ranked_token(model: Model, logits_V: Array, token_id: int) -> RankedToken:
    """Where a token stands by logits [V]."""
    rank = int((logits_V > logits_V[token_id]).sum())
    return RankedToken(token_id, token_text(model, token_id), softmax(logits_V)[token_id], rank)


def with_its_space(model: Model, logits_V: Array, target: RankedToken) -> RankedToken | None:
    """Of a word without its space the token that has it, where that is more probable; else None."""
    if model.tokenizer is None or not target.text[:1].isalnum():
        return None
    tokens = model.tokenizer.encode(f" {target.text}", "text")
    if len(tokens) != 1 or tokens[0].id == target.id or tokens[0].text != f" {target.text}":
        return None
    spaced = ranked_token(model, logits_V, tokens[0].id)
    return spaced if spaced.rank < target.rank else None


@dataclass(frozen=True)
class FilledMask:
    """One mask token."""

    index: int
    top: list[Candidate]


def mask_of(model: Model) -> int | None:
    """The mask token: that of a model that writes by filling masks, else its tokenizer's."""
    if model.config.masking is not None:
        return model.config.masking.mask_id
    return model.tokenizer.mask_id if model.tokenizer else None


def predicting(model: Model, indices: Sequence[int]) -> list[int]:
    """The places in the stream at which the model says what stands at these: the same, or those before."""
    shifted = model.config.masking is not None and model.config.masking.shifted
    return [max(0, index - shifted) for index in indices]


def fill_masks(model: Model, ids: Sequence[int], stream_TD: Array, count: int) -> list[FilledMask]:
    """The most probable tokens at each mask, from the last stream; an empty list where the text has none."""
    mask_id = mask_of(model)
    masks = [index for index, token_id in enumerate(ids) if token_id == mask_id]
    if not masks:
        return []
    logits_MV = model.logits(stream_TD[predicting(model, masks)])
    return [
        FilledMask(index, candidates(model, logits_V, count)) for index, logits_V in zip(masks, logits_MV, strict=True)
    ]
