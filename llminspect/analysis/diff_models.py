"""`diff` of a model with its fine-tune, or with the same in other bits: weights, and what differs over a corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from llminspect.analysis.candidates import token_text
from llminspect.analysis.corpus import Corpus, CorpusRead, Piece
from llminspect.analysis.firing import pieces_together
from llminspect.analysis.head_changes import HeadChanges, HeadSums, comparable_heads
from llminspect.analysis.result import Result
from llminspect.analysis.token_changes import TokenChanges, TokenSums, compare_piece
from llminspect.analysis.weight_changes import WeightChanges, weight_changes
from llminspect.arguments.option import usual_of
from llminspect.arguments.parts import CorpusOptions
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError
from llminspect.model.opened import Model


@dataclass(frozen=True)
class ModelSide:
    """One of the two."""

    model: str
    adapter: str | None = None
    """The LoRA that is added."""


@dataclass(frozen=True)
class DiffModelsResult(Result):
    """Two models side by side: a, the model, and b, what it is compared with."""

    a: ModelSide
    b: ModelSide
    weights: WeightChanges | None = None
    """With --weights."""
    token_changes: TokenChanges | None = None
    """With --corpus."""
    head_changes: HeadChanges | None = None
    """With --corpus, where both have the same heads."""
    read: CorpusRead | None = None


def over_corpus(
    a: Model, b: Model, options: CorpusOptions, top: int, progress: Callable[[int, int], object] | None = None
) -> DiffModelsResult:
    """What two models say of the same pieces of a corpus, and where their heads look there.

    Raises UsageError for models that do not write, or whose ids mean different tokens; UserError as `Corpus`.
    """
    assert options.corpus is not None
    why = not_comparable(a, b)
    if why is not None:
        raise UsageError(why, "diff --weights compares what such models have both")
    for model in (a, b):  # Whose positions may be fewer.
        corpus = Corpus(model, options.corpus, usual_of(options, "length"), usual_of(options, "most"), progress)
    corpus = Corpus(a, options.corpus, usual_of(options, "length"), usual_of(options, "most"), progress)
    tokens = TokenSums(a, top)
    heads = HeadSums(a, b) if comparable_heads(a, b) else None
    for batch in pieces_together(corpus.pieces()):
        _compare(a, b, batch, tokens, heads)
    head_changes = None if heads is None else heads.summed(top)
    return DiffModelsResult(side(a), side(b), None, tokens.summed(), head_changes, corpus.read(), notes=_notes(heads))


def of_weights(a: Model, b: Model, progress: Callable[[int, int], object] | None = None) -> DiffModelsResult:
    """Where the weights of two models are apart. Raises as `weight_changes`."""
    return DiffModelsResult(side(a), side(b), weight_changes(a, b, progress))


def side(model: Model) -> ModelSide:
    """What a model is called."""
    added = model.provenance.get("adapter")
    return ModelSide(model.name, None if added is None else str(added["name"]))


def of_text(a: Model, b: Model, ids: Sequence[int], top: int) -> tuple[TokenChanges, HeadChanges | None]:
    """The same of one text."""
    tokens = TokenSums(a, top)
    heads = HeadSums(a, b) if comparable_heads(a, b) else None
    _compare(a, b, [Piece("", list(ids), 0)], tokens, heads)
    return tokens.summed(every=True), None if heads is None else heads.summed(top)


def not_comparable(a: Model, b: Model) -> str | None:
    """Why what two models say of a text cannot be compared token by token; None where it can."""
    for model in (a, b):
        if not model.can("generate") or model.can("source"):
            return f"{model.name} does not say after each token of a text what comes next"
    if vocabulary(a) != vocabulary(b):
        return f"{a.name} and {b.name} have other vocabularies, so their probabilities are of other tokens"
    return None


def vocabulary(model: Model) -> object:
    """Equal for models whose ids mean the same."""
    if model.tokenizer is None:
        return model.config.sizes.V
    return [token_text(model, token_id) for token_id in range(model.config.sizes.V)]


def _compare(a: Model, b: Model, batch: Sequence[Piece], tokens: TokenSums, heads: HeadSums | None) -> None:
    ids_BT = np.array([piece.ids for piece in batch])
    streams_a_BTD, streams_b_BTD = _streams(a, b, ids_BT, heads)
    for piece, stream_a_TD, stream_b_TD in zip(batch, streams_a_BTD, streams_b_BTD, strict=True):
        tokens.add(piece, compare_piece(a, b, stream_a_TD, stream_b_TD, piece.ids))


def _streams(a: Model, b: Model, ids_BT: Array, heads: HeadSums | None) -> tuple[Array, Array]:
    if heads is None:
        return a.run(ids_BT).stream_TD, b.run(ids_BT).stream_TD
    return heads.streams(ids_BT)


def _notes(heads: HeadSums | None) -> list[str] | None:
    return None if heads is not None else ["their heads are not the same in number or place, and are not compared"]
