"""`llminspect diff`: one text in two models, or two texts in one model, side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import run_each
from llminspect.cli.save import check_ending
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.analysis.diff import DiffResult

RESULTS = "analysis.diff.DiffResult"
"""The classes of what `--json` writes."""


def render(result: DiffResult) -> RenderableType:
    """The two texts, the two distributions, the streams."""
    from llminspect.commands.diff.view import diff_view

    return diff_view(result)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    against: Annotated[
        str | None, typer.Option("--against", metavar="TEXT", help="Compare with this text in the same model.")
    ] = None,
    against_model: Annotated[
        str | None, typer.Option("--against-model", metavar="NAME", help="Compare with this model.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="How many next tokens of each side.")] = 10,
) -> None:
    """Compare two texts in one model, or one text in two models: what comes next, and where the streams part.

    llminspect diff "The capital of France is" --against "The capital of Italy is"
    """
    from dataclasses import replace

    from llminspect.analysis.diff import diff
    from llminspect.analysis.prompt import text_prompt

    if against is None and against_model is None:
        raise UsageError("nothing to compare with", "give --against TEXT or --against-model NAME")
    check_ending(output, arrays=False)
    first = open_model_for(model, output)
    second = first if against_model is None else open_model_for(replace(model, model=against_model), output)
    other = None if against is None else text_prompt(against, source, second.tokenizer, None)
    prompts = read_prompts(source, first.tokenizer)
    provenance = {**first.provenance, **({} if second is first else {"against": second.provenance})}
    work = partial(diff, first, second, other, top, source=source)
    run_each("diff", first.name, provenance, prompts, output, work, render)
