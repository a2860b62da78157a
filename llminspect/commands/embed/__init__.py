"""`llminspect embed`: tokens as vectors, and what lies near what."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llminspect.arguments.embed import EmbedOptions, Metric, Pool, check_embed
from llminspect.arguments.shared import At, EngineOptions, ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import run_each
from llminspect.cli.save import check_ending
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from llminspect.analysis.embed import EmbedResult


RESULTS = "analysis.embed.EmbedResult"
"""The classes of what `--json` writes."""


More = Annotated[
    list[str] | None, typer.Argument(metavar="[TEXT]...", help="More texts, as with --with.", show_default=False)
]
Beside = Annotated[
    list[str] | None, typer.Option("--with", metavar="TEXT", help="Another text beside the first; repeatable.")
]


def render(result: EmbedResult) -> RenderableType:
    """The vectors as a picture and as numbers, and what the options add."""
    from llminspect.commands.embed.view import rendering

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
    from llminspect.analysis.embed import embed, embed_analogy, embed_arrays, prompt_of_terms, reading_model
    from llminspect.analysis.prompt import text_prompt
    from llminspect.analysis.vectors import check_vectors_place, usual_place

    check_ending(output, arrays=True)
    options = EmbedOptions(
        at or "embedding", pool, nearest, metric, words, analogy, exclude_inputs, similarity, project, positions
    )
    beside = [*(more or []), *(beside or [])] or None
    check_embed(options, source, beside)
    opened = reading_model(open_model_for(model, output, engine))
    options = replace(options, at=at or usual_place(opened, pool))
    check_vectors_place(options.at, opened.config.sizes.L)
    if analogy is not None:
        prompts: Iterator[Prompt] = iter([prompt_of_terms(opened, analogy)])
        working = partial(embed_analogy, opened, options)
    else:
        prompts = read_prompts(source, opened.tokenizer)
        others = [text_prompt(text, source, opened.tokenizer, None) for text in beside or []]
        working = partial(embed, opened, options, others)
    run_each("embed", opened.name, opened.provenance, prompts, output, working, render, embed_arrays)
