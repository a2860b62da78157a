"""`llminspect embed`: tokens as vectors, and what lies near what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np

from llminspect.analysis import vectors
from llminspect.analysis.cross_attention import encoder_of
from llminspect.analysis.lengths import beyond_context
from llminspect.analysis.neighbours import Analogy, Neighbour, TokenTexts, neighbours_of, terms_of
from llminspect.analysis.prompt import check_prompt, of_segments
from llminspect.analysis.result import Dims, Result, Tokens, token_documents
from llminspect.analysis.sentence import Pooling, document_of_step, pool_of, steps_of, treated
from llminspect.analysis.vectors import Outlier, PlaneProjection, PositionCode, TableLookup, TextSpan, VectorStatistics
from llminspect.arguments.embed import EmbedOptions, Metric, Pool
from llminspect.arguments.ranges import is_index, shortened
from llminspect.core import geometry
from llminspect.core.array import Array
from llminspect.core.dataclass import dataclass
from llminspect.core.pooling import pooled
from llminspect.errors import UsageError
from llminspect.model.opened import Model
from llminspect.text.prompt import Prompt


@dataclass(frozen=True)
class EmbedResult(Result):
    tokens: Tokens
    dim: int
    at: str
    """"embedding", the number of a layer, or "final"."""
    pool: Pool
    labels: list[str]
    """What each of the vectors stands for."""
    vectors: Annotated[Array, Dims("N D")]
    """One for each token, or with --pool one for each text; with --analogy the sum."""
    norms: Annotated[Array, Dims("N")]
    statistics: VectorStatistics
    outlier: Outlier | None = None
    """The longest vector of a token, where it is more than ten times as long as the median."""
    lookup: TableLookup | None = None
    pair: str | None = None
    """The second text, with --pair."""
    texts: list[TextSpan] | None = None
    analogy: Analogy | None = None
    nearest_in: Literal["embedding", "unembedding"] | None = None
    """The table whose rows `nearest` are."""
    nearest_by: Metric | None = None
    nearest: list[list[Neighbour]] | list[Neighbour] | None = None
    similarity_by: Metric | None = None
    similarity: Annotated[Array, Dims("N N")] | None = None
    projection: PlaneProjection | None = None
    positions: PositionCode | None = None
    pooling: Pooling | None = None
    """What became of the tokens' vectors."""


def embed(model: Model, options: EmbedOptions, others: Sequence[Prompt], prompt: Prompt) -> EmbedResult:
    """The vectors of one text (and of `others` beside it), and what lies near them."""
    model = reading_model(model)
    pool = pool_of(model, options, bool(others))
    at, (steps, notes) = place_of(model, options, bool(others)), steps_of(model, options, pool)
    prompts = [prompt, *others]
    for each in prompts:
        check_prompt(model, each)
    model = of_segments(model, prompt.segments)
    unpooled = [vectors.vectors_at(model, each.ids, at) for each in prompts]
    vectors_ND = np.concatenate([pooled(vectors_TD, steps) for vectors_TD in unpooled])
    labels = [label for each in prompts for label in _labels(each, pool, len(prompts) > 1)]
    lookup = texts = None
    if at == "embedding" and not others:
        lookup = vectors.lookup_of(model.params["embedding.weight"], prompt.ids)
    if others:
        starts = np.cumsum([0, *(len(each.tokens) for each in prompts)])
        texts = [
            vectors.TextSpan(each.text, int(start), len(each.tokens))
            for each, start in zip(prompts, starts, strict=False)
        ]
    tokens = [token for each in prompts for token in each.tokens]
    made = _result(model, options, at, token_documents(tokens, model.segments, prompt.second), labels, vectors_ND)
    positions = vectors.position_code_of(model, len(tokens)) if options.positions else None
    outlier = vectors.outlier_of(np.concatenate(unpooled))
    longest = max(len(each.tokens) for each in prompts)
    notes = [*notes, *((at != "embedding" and beyond_context(model, longest)) or ())]
    if pool == "model":
        notes += treated(model, prompts)
    pooling = Pooling(pool == "model", [document_of_step(step) for step in steps]) if steps else None
    made = replace(made, pool=pool, pooling=pooling, notes=notes or None)
    return replace(made, pair=prompt.pair, texts=texts, lookup=lookup, positions=positions, outlier=outlier)


def place_of(model: Model, options: EmbedOptions, several: bool = False) -> str:
    """Where the vectors are taken from: as `--at` says, or as usual: an encoder was made for those that it gives out,
    pooled. Raises UsageError where there is no such layer."""
    pool = pool_of(model, options, several)
    usual = "final" if pool == "model" or (pool != "none" and model.can("encode")) else "embedding"
    at, layers = usual if options.at is None else str(options.at), model.config.sizes.L
    if at not in ("embedding", "final") and not (is_index(at) and int(at) < layers):
        have = f"layers run from 0 to {layers - 1}" if layers > 1 else "the only layer is 0"
        raise UsageError(
            f"there is no layer {shortened(at)!r} for --at", f"{have}; embedding and final are the two ends"
        )
    if pool == "model" and at != "final":
        raise UsageError("--pool model pools what the model gives out", "leave out --at, or take --pool mean")
    return at


def reading_model(model: Model) -> Model:
    """Of an encoder–decoder the encoder: a text is what it reads."""
    return encoder_of(model) if model.can("source") else model


def embed_analogy(model: Model, options: EmbedOptions, prompt: Prompt) -> EmbedResult:
    """The sum of the words of an expression, and what lies near it. `prompt` holds the tokens of its words."""
    assert options.analogy is not None
    terms = [term for term, _ in terms_of(options.analogy, model.tokenizer)]
    table_VD = model.params["embedding.weight"]
    total_1D: Array = np.zeros((1, table_VD.shape[1]), np.float32)
    for term in terms:  # The vector of a word of several tokens is the mean of theirs.
        total_1D = total_1D + np.float32(term.factor) * np.take(table_VD, np.asarray(term.ids), axis=0).mean(axis=0)
    if not total_1D.any():
        raise UsageError(f"{options.analogy} is a vector of zeros", "it has no direction, so nothing is near it")
    analogy = Analogy(options.analogy, terms, options.exclude_inputs)
    return _result(model, options, "embedding", token_documents(prompt.tokens), [options.analogy], total_1D, analogy)


def _result(
    model: Model,
    options: EmbedOptions,
    at: str,
    tokens: Tokens,
    labels: list[str],
    vectors_ND: Array,
    analogy: Analogy | None = None,
) -> EmbedResult:
    name, table_VD = vectors.vocabulary_table(model, at)
    if options.nearest and vectors_ND.shape[1] != table_VD.shape[1]:
        raise UsageError(
            f"--nearest: these vectors have {vectors_ND.shape[1]} numbers, those of tokens {table_VD.shape[1]}",
            "leave it out, or look at others: --pool mean, --at embedding",
        )
    count = options.nearest or (10 if analogy else 0)
    inputs = [token_id for term in analogy.terms for token_id in term.ids] if analogy else []
    found = None
    if count:
        found = neighbours_of(
            TokenTexts(model.tokenizer),
            vectors_ND,
            table_VD,
            count,
            metric=options.metric,
            words=options.words,
            without=frozenset(inputs if options.exclude_inputs else []),
        )
    nearest: list[list[Neighbour]] | list[Neighbour] | None = found[0] if analogy and found else found
    return EmbedResult(
        tokens=tokens,
        dim=vectors_ND.shape[1],
        at=at,
        pool="none",
        labels=labels,
        vectors=vectors_ND,
        norms=geometry.norms(vectors_ND),
        statistics=vectors.statistics_of(vectors_ND, table_VD if at == "embedding" else None),
        analogy=analogy,
        nearest_in=name if found else None,
        nearest_by=options.metric if found else None,
        nearest=nearest,
        similarity_by=options.metric if options.similarity else None,
        similarity=geometry.similarity(vectors_ND, vectors_ND, options.metric) if options.similarity else None,
        projection=vectors.projection_of(labels, vectors_ND, found, table_VD) if options.project else None,
    )


def _labels(prompt: Prompt, pool: Pool, several: bool) -> list[str]:
    if pool == "none":
        return prompt.labels
    if not several:
        named = {"mean": "mean of all tokens", "model": "the whole text"}
        return [named.get(pool, f"{pool} token")]
    return [" ".join(map(str, prompt.ids)) if prompt.text is None else prompt.text]


def prompt_of_terms(model: Model, expression: str) -> Prompt:
    """The tokens of the words of an expression; they stand in no text."""
    tokens = [token for _, word in terms_of(expression, model.tokenizer) for token in word]
    return Prompt(None, [replace(token, start=None, end=None) for token in tokens])


def embed_arrays(result: EmbedResult) -> dict[str, Array]:
    """What `--save FILE.npz` holds."""
    arrays = {"vectors": result.vectors, "ids": np.array([token["id"] for token in result.tokens])}
    if result.similarity is not None:
        arrays["similarity"] = result.similarity
    if result.projection is not None:
        arrays["projection"] = result.projection.points
    return arrays
