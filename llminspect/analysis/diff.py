"""`llminspect diff`: one text in two models, or two texts in one model, side by side."""

from __future__ import annotations

import math

import numpy as np

from llminspect.analysis.candidates import Candidate, candidates, token_text
from llminspect.analysis.diff_models import not_comparable, of_text, vocabulary
from llminspect.analysis.experiments import divergence
from llminspect.analysis.head_changes import HeadChanges
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.prompt import chat_prompt, check_prompt, prompt_of_ids, target_prompt, text_prompt, with_source
from llminspect.analysis.result import Result, Tokens, token_documents
from llminspect.analysis.token_changes import TokenChanges
from llminspect.analysis.trace import WatchedPass, watch_pass
from llminspect.arguments.shared import SourceOptions
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.unembed import log_softmax
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt


@dataclass(frozen=True)
class DiffSide:
    """One of the two."""

    model: str
    text: str | None
    tokens: Tokens
    next: list[Candidate]


@dataclass(frozen=True)
class TokenProbabilities:
    """A token's probability on both sides; None where a vocabulary has no such token."""

    text: str
    prob_a: float | None
    prob_b: float | None


@dataclass(frozen=True)
class StreamDistance:
    """How far the streams at the last positions are from each other after a layer."""

    layer: int
    cosine: float
    distance: float
    """‖a − b‖ / ‖a‖."""


@dataclass(frozen=True)
class DiffResult(Result):
    """Two runs side by side. What can only be said of equal vocabularies or equal widths is left out for others."""

    a: DiffSide
    b: DiffSide
    tokens: list[TokenProbabilities]
    """The most probable of both sides, by their text."""
    kl_ab: float | None
    """KL(a ‖ b) in bits, where both have the same vocabulary."""
    kl_ba: float | None
    layers: list[StreamDistance] | None
    """Where both have as many layers of the same width."""
    token_changes: TokenChanges | None = None
    """One text in two models of the same vocabulary: how far they are apart after each of its tokens."""
    head_changes: HeadChanges | None = None
    """… and which of their heads look elsewhere, where both have the same heads."""


def diff(
    first: Model, second: Model, other: Prompt | None, top: int, prompt: Prompt, source: SourceOptions | None = None
) -> DiffResult:
    """`other` is the second text; None: the same text, cut by the second model's tokenizer, wrapped as `source`
    says."""
    beside = _same_text(second, prompt, source or SourceOptions()) if other is None else other
    sides, logits, rows, notes = [], [], [], dict[str, None]()
    for model, text in ((first, prompt), (second, beside)):
        check_prompt(model, text)
        notes |= dict.fromkeys(beyond_context(model, len(text.tokens)) or ())
        watched = _watched(model, text)
        if watched.logits_V is None:
            raise UsageError(f"{model.name} gives vectors, not tokens", "llminspect embed --similarity compares those")
        sides.append(
            DiffSide(model.name, text.text, token_documents(text.tokens), candidates(model, watched.logits_V, top))
        )
        logits.append(log_softmax(watched.logits_V.astype("float64")))
        rows.append(watched.rows)
    same = vocabulary(first) == vocabulary(second)
    both = other is None and prompt.ids == beside.ids and not_comparable(first, second) is None
    token_changes, head_changes = of_text(first, second, prompt.ids, top) if both else (None, None)
    return DiffResult(
        a=sides[0],
        b=sides[1],
        tokens=_token_probabilities(first, second, sides, logits),
        kl_ab=float(divergence(logits[0], logits[1])) if same else None,
        kl_ba=float(divergence(logits[1], logits[0])) if same else None,
        layers=_stream_distances(first, second, rows),
        token_changes=token_changes,
        head_changes=head_changes,
        notes=list(notes) or None,
    )


def _watched(model: Model, prompt: Prompt) -> WatchedPass:
    """The pass after whose last position a token comes. An encoder–decoder reads the text as its source, and its
    first token is what comes next. Raises UsageError for a masked model, in which nothing comes next."""
    if model.can("fill"):
        raise UsageError(
            f"{model.name} fills masks: no token comes next", "llminspect forward shows what its masks are"
        )
    ids = prompt.ids
    if model.can("source"):
        model, ids = with_source(model, ids), target_prompt(model, None, None).ids
    return watch_pass(model, ids, len(ids) - 1)


def _same_text(model: Model, prompt: Prompt, source: SourceOptions) -> Prompt:
    """The text, or the conversation, as the second model has it; ids stay ids."""
    if prompt.text is None:
        return prompt_of_ids(prompt.ids, model.tokenizer, prompt.line)
    if prompt.chat is None or model.tokenizer is None:
        return text_prompt(prompt.text, source, model.tokenizer, prompt.line)
    return chat_prompt(prompt.chat.given, model.tokenizer, prompt.line)


def _token_probabilities(
    first: Model, second: Model, sides: list[DiffSide], logits: list[Array]
) -> list[TokenProbabilities]:
    """The best of both sides; a token of the other side is found by its text."""
    found: dict[str, TokenProbabilities] = {}
    for candidate in [*sides[0].next, *sides[1].next]:
        if candidate.text in found:
            continue
        chances = []
        for model, log_V in ((first, logits[0]), (second, logits[1])):
            token_id = _id_of(model, candidate)
            chances.append(None if token_id is None else math.exp(log_V[token_id]))
        found[candidate.text] = TokenProbabilities(candidate.text, *chances)
    return sorted(found.values(), key=lambda pair: -max(pair.prob_a or 0, pair.prob_b or 0))


def _id_of(model: Model, candidate: Candidate) -> int | None:
    """The id of the token with that text: the same id where it fits, else the one that the tokenizer gives."""
    if candidate.id < model.config.sizes.V and token_text(model, candidate.id) == candidate.text:
        return candidate.id
    if model.tokenizer is None:
        return None
    try:
        ids = model.tokenizer.encode_ids(candidate.text)
    except UsageError:
        return None
    return ids[0] if len(ids) == 1 and token_text(model, ids[0]) == candidate.text else None


def _stream_distances(first: Model, second: Model, rows: list[dict[str, Array]]) -> list[StreamDistance] | None:
    sizes, others = first.config.sizes, second.config.sizes
    if (sizes.L, sizes.D) != (others.L, others.D):
        return None
    layers = []
    for layer in range(sizes.L):
        a_D, b_D = (row[f"layers.{layer}.output"].astype(np.float64) for row in rows)
        lengths = float(np.linalg.norm(a_D)), float(np.linalg.norm(b_D))
        cosine = float(a_D @ b_D) / (lengths[0] * lengths[1] or 1.0)
        layers.append(StreamDistance(layer, cosine, float(np.linalg.norm(a_D - b_D)) / (lengths[0] or 1.0)))
    return layers
