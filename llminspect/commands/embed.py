"""`llminspect embed`: tokens as vectors, and what lies near what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llminspect.commands._documents import Dims, Tokens
from llminspect.commands._embed_parts import (
    Analogy,
    Lookup,
    Metric,
    Neighbour,
    Outlier,
    Projection,
    Statistics,
    Text,
    lookup_of,
    neighbours_of,
    outlier_of,
    projection_of,
    statistics_of,
)
from llminspect.commands._embed_positions import Positions, positions_of
from llminspect.commands._input import Prompt, read_prompts, text_prompt, token_documents
from llminspect.commands._options import At, EngineOptions, ModelOptions, OutputOptions, SourceOptions, takes_groups
from llminspect.commands._run import check_prompt, open_for, run_each
from llminspect.commands._save import check_ending
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from llminspect.core.array import Array
    from llminspect.model import Model

Pool = Literal["none", "mean", "first", "last"]
More = Annotated[
    list[str] | None, typer.Argument(metavar="[TEXT]...", help="More texts, as with --with.", show_default=False)
]
Beside = Annotated[
    list[str] | None, typer.Option("--with", metavar="TEXT", help="Another text beside the first; repeatable.")
]


@dataclass(frozen=True)
class Result:
    tokens: Tokens
    dim: int
    at: str
    """"embedding", the number of a layer, or "final"."""
    pool: Pool
    labels: list[str]
    """What each of the vectors stands for."""
    vectors: Annotated[Array, Dims("N D")]
    """One a token, or with --pool one a text; with --analogy the sum."""
    norms: Annotated[Array, Dims("N")]
    statistics: Statistics
    outlier: Outlier | None = None
    """The longest vector of a token, where it is more than ten times as long as the median."""
    lookup: Lookup | None = None
    texts: list[Text] | None = None
    analogy: Analogy | None = None
    nearest_in: Literal["embedding", "unembedding"] | None = None
    """The table whose rows `nearest` are."""
    nearest_by: Metric | None = None
    nearest: list[list[Neighbour]] | list[Neighbour] | None = None
    similarity_by: Metric | None = None
    similarity: Annotated[Array, Dims("N N")] | None = None
    projection: Projection | None = None
    positions: Positions | None = None


@dataclass(frozen=True)
class Options:
    """What is asked of the vectors."""

    at: str = "embedding"
    pool: Pool = "none"
    nearest: int = 0
    metric: Metric = "cosine"
    words: bool = False
    analogy: str | None = None
    exclude_inputs: bool = False
    similarity: bool = False
    project: Literal["pca"] | None = None
    positions: bool = False


def run(model: Model, options: Options, others: Sequence[Prompt], prompt: Prompt) -> Result:
    """The vectors of one text (and of `others` beside it), and what lies near them."""
    import numpy as np

    from llminspect.commands._embed_vectors import vectors_at
    from llminspect.core.geometry import pooled

    model = reader(model)
    prompts = [prompt, *others]
    for each in prompts:
        check_prompt(model, each)
    unpooled = [vectors_at(model, each.ids, options.at) for each in prompts]
    own = [pooled(vectors_TD, options.pool) for vectors_TD in unpooled]
    labels = [label for each in prompts for label in _labels(each, options.pool, len(prompts) > 1)]
    lookup = (
        lookup_of(model.params["embedding.weight"], prompt.ids) if options.at == "embedding" and not others else None
    )
    texts = None
    if others:
        starts = np.cumsum([0, *(len(each.tokens) for each in prompts)])
        texts = [Text(each.text, int(start), len(each.tokens)) for each, start in zip(prompts, starts, strict=False)]
    tokens = [token for each in prompts for token in each.tokens]
    made = _result(model, options, token_documents(tokens), labels, np.concatenate(own))
    positions = positions_of(model, len(tokens)) if options.positions else None
    return replace(made, texts=texts, lookup=lookup, positions=positions, outlier=outlier_of(np.concatenate(unpooled)))


def reader(model: Model) -> Model:
    """Of an encoder–decoder the encoder: a text is what it reads."""
    from llminspect.commands._attend_source import encoder_of

    return encoder_of(model) if model.can("source") else model


def run_analogy(model: Model, options: Options, prompt: Prompt) -> Result:
    """The sum of the words of an expression, and what lies near it. `prompt` holds the tokens of its words."""
    from llminspect.commands._embed_vectors import sum_of, terms_of

    assert options.analogy is not None
    terms = [term for term, _ in terms_of(options.analogy, model.tokenizer)]
    total_1D = sum_of(terms, model.params["embedding.weight"])
    if not total_1D.any():
        raise UsageError(f"{options.analogy} is a vector of zeros", "it points nowhere, so nothing is near it")
    analogy = Analogy(options.analogy, terms, options.exclude_inputs)
    return _result(model, options, token_documents(prompt.tokens), [options.analogy], total_1D, analogy)


def _result(
    model: Model,
    options: Options,
    tokens: Tokens,
    labels: list[str],
    vectors_ND: Array,
    analogy: Analogy | None = None,
) -> Result:
    from llminspect.commands._embed_vectors import TokenTexts, vocabulary_table
    from llminspect.core import geometry

    name, table_VD = vocabulary_table(model, options.at)
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
    return Result(
        tokens=tokens,
        dim=vectors_ND.shape[1],
        at=options.at,
        pool=options.pool,
        labels=labels,
        vectors=vectors_ND,
        norms=geometry.norms(vectors_ND),
        statistics=statistics_of(vectors_ND, table_VD if options.at == "embedding" else None),
        analogy=analogy,
        nearest_in=name if found else None,
        nearest_by=options.metric if found else None,
        nearest=nearest,
        similarity_by=options.metric if options.similarity else None,
        similarity=geometry.similarity(vectors_ND, vectors_ND, options.metric) if options.similarity else None,
        projection=projection_of(labels, vectors_ND, found, table_VD) if options.project else None,
    )


def _labels(prompt: Prompt, pool: Pool, several: bool) -> list[str]:
    if pool == "none":
        return prompt.labels
    if not several:
        return [f"{pool} of all tokens" if pool == "mean" else f"{pool} token"]
    return [" ".join(map(str, prompt.ids)) if prompt.text is None else prompt.text]


def render(result: Result) -> RenderableType:
    """The vectors as a picture and as numbers, and what was asked beside them."""
    from llminspect.commands._embed_render import rendering

    return rendering(result)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    engine: EngineOptions,
    more: More = None,
    beside: Beside = None,
    at: At = None,
    pool: Annotated[Pool, typer.Option("--pool", help="One vector for a whole text.")] = "none",
    nearest: Annotated[
        int, typer.Option("--nearest", min=0, metavar="N", help="The N nearest tokens of the whole vocabulary.")
    ] = 0,
    metric: Annotated[Metric, typer.Option("--metric", help="What near and similar mean.")] = "cosine",
    words: Annotated[bool, typer.Option("--words", help="Only whole words among the nearest.")] = False,
    analogy: Annotated[
        str | None,
        typer.Option("--analogy", metavar="SUM", help='In place of TEXT a sum of words: "king - man + woman".'),
    ] = None,
    exclude_inputs: Annotated[
        bool, typer.Option("--exclude-inputs", help="Leave the words of --analogy out of what is nearest.")
    ] = False,
    similarity: Annotated[bool, typer.Option("--similarity", help="How alike each vector is to each other.")] = False,
    project: Annotated[
        Literal["pca"] | None, typer.Option("--project", help="The vectors as points in a plane.")
    ] = None,
    positions: Annotated[
        bool, typer.Option("--positions", help="What the model adds for the place of a token, by itself.")
    ] = False,
) -> None:
    """Show the vectors that tokens become, and what lies near what.

    \b
    llminspect embed "Alice gave Bob her book"
    llminspect embed --analogy "king - man + woman"
    llminspect embed "king queen man woman" --similarity --project pca
    llminspect embed "A cat sat." "A dog sat." --pool mean --at final --similarity
    """
    from llminspect.commands._embed_vectors import check_place, usual_place

    check_ending(output, arrays=True)
    options = Options(
        at or "embedding", pool, nearest, metric, words, analogy, exclude_inputs, similarity, project, positions
    )
    beside = [*(more or []), *(beside or [])] or None
    _check(options, source, beside)
    opened = reader(open_for(model, output, engine))
    options = replace(options, at=at or usual_place(opened, pool))
    check_place(options.at, opened.config.sizes.L)
    if analogy is not None:
        prompts: Iterator[Prompt] = iter([prompt_of_terms(opened, analogy)])
        working = partial(run_analogy, opened, options)
    else:
        prompts = read_prompts(source, opened.tokenizer)
        others = [text_prompt(text, source, opened.tokenizer, None) for text in beside or []]
        working = partial(run, opened, options, others)
    run_each("embed", opened.name, opened.provenance, prompts, output, working, render, _arrays)


def _check(options: Options, source: SourceOptions, beside: list[str] | None) -> None:
    near = options.nearest or options.analogy is not None
    if options.words and not near:
        raise UsageError("--words goes with --nearest or --analogy", "--nearest 10 --words")
    if options.metric != "cosine" and not near and not options.similarity:
        raise UsageError(f"--metric {options.metric} goes with --nearest, --analogy or --similarity", "add one of them")
    if options.analogy is None:
        if options.exclude_inputs:
            raise UsageError("--exclude-inputs goes with --analogy")
        return
    given = {"TEXT": source.text, "--file": source.file, "--ids": source.ids, "--with": beside}
    named = [name for name, value in given.items() if value is not None] + ["--lines"] * source.lines
    if named:
        raise UsageError(f"--analogy takes the place of {named[0]}", "give one of the two")
    if options.at != "embedding" or options.pool != "none" or options.positions:
        raise UsageError("--analogy adds rows of the embedding table", "leave out --at, --pool and --positions")


def prompt_of_terms(model: Model, expression: str) -> Prompt:
    from llminspect.commands._embed_vectors import terms_of

    tokens = [token for _, own in terms_of(expression, model.tokenizer) for token in own]
    return Prompt(None, [replace(token, start=None, end=None) for token in tokens])


def _arrays(result: Result) -> dict[str, Array]:
    import numpy as np

    arrays = {"vectors": result.vectors, "ids": np.array([token["id"] for token in result.tokens])}
    if result.similarity is not None:
        arrays["similarity"] = result.similarity
    if result.projection is not None:
        arrays["projection"] = result.projection.points
    return arrays
