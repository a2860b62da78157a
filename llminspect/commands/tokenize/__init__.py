"""`llminspect tokenize`: a text cut into the tokens that a model sees."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import typer

from llminspect.arguments.shared import ModelOptions, OutputOptions, PageOptions, SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts, read_texts
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.run import fail_check, noting_empty, run_each
from llminspect.cli.save import check_ending, is_page
from llminspect.cli.stream import LineWork, Over, run_lines
from llminspect.commands.tokenize.work import exceeded, open_compared, open_one, work_of
from llminspect.errors import CheckFailed, UsageError
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.analysis.tokenization import CompareResult, CountResult, TokenizeResult

RESULTS = "analysis.tokenization.TokenizeResult analysis.tokenization.CountResult analysis.tokenization.CompareResult "
"""The classes of what `--json` writes."""

R = TypeVar("R")


def render(result: TokenizeResult | CountResult | CompareResult) -> RenderableType:
    """The coloured strip and the table, the comparison, or the bare number."""
    from llminspect.commands.tokenize.view import rendering

    return rendering(result)


@takes_groups
def command(
    context: typer.Context,
    source: SourceOptions,
    model: ModelOptions,
    output: PageOptions,
    asked: TokenizeOptions,
) -> None:
    """Cut a text into the tokens that a model sees.

    \b
    llminspect tokenize "Alice gave Bob her book"
    llminspect tokenize "Alice gave Bob her book" --compare smollm2 --compare o200k_base
    llminspect tokenize --count --file book.txt --model o200k_base --cost '$2.50'
    """
    from llminspect.analysis.prompt import is_chat

    check_ending(output, arrays=False)
    if is_page(output) and (not asked.compare or asked.count):
        raise UsageError("--interactive goes with --compare here", "add --compare NAME, without --count")
    asked.check(source, model, output)
    names = compared_names(context, model, asked)
    if asked.count and not (source.lines or source.ids or is_chat(source)):
        from llminspect.commands.tokenize.count import count_compared, count_one

        over = Over()
        counted = (
            count_compared(names, source, model, output, asked, render)
            if names
            else count_one(source, model, output, asked, render)
        )
        for counted_name, result in counted:
            over.add(exceeded(counted_name, result.count, result.budget))
    elif names:
        over = compare_all(names, source, model, output, asked)
    else:
        over = tokenize_all(source, model, output, asked)
    if over.first is not None:
        name, count, budget = over.first
        more = f", and {over.count - 1:,} more" if over.count > 1 else ""
        message = f"{name}: {count:,} tokens, {budget.allowed:,} are allowed{more}"
        fail_check(CheckFailed(message), output, written=output.json or source.lines)


def compared_names(context: typer.Context, model: ModelOptions, asked: TokenizeOptions) -> list[str]:
    """The tokenizers of --compare; --model comes first where it was given, or where there is only one other."""
    if not asked.compare:
        return []
    chosen = context.get_parameter_source("model")
    named = chosen is not None and chosen.name == "COMMANDLINE"
    names = [model.model, *asked.compare] if named or len(asked.compare) == 1 else asked.compare
    return list(dict.fromkeys(names))


def tokenize_all(source: SourceOptions, model: ModelOptions, output: OutputOptions, asked: TokenizeOptions) -> Over:
    """Every text in the one tokenizer; those that have more tokens than are allowed."""
    tokenizer, provenance = open_tokenizer_for(model, output)
    work = work_of(tokenizer, provenance, source, model, output, asked)
    if source.lines and output.save is None:
        elsewhere = partial(open_one, source, replace(model, offline=True), replace(output, quiet=True), asked)
        return run_lines(source, output, work, elsewhere, asked.workers)
    over = Over()
    prompts = noting_empty(read_prompts(source, tokenizer, may_be_empty=True), output)
    tokenized = partial(watched, work, over)
    if asked.truncate is not None and not (output.json or source.lines or output.save):
        from llminspect.commands.tokenize.truncated import write_kept

        for prompt in prompts:
            result = tokenized(prompt)
            write_kept(result, output)
    else:
        run_each("tokenize", model.model, provenance, prompts, output, tokenized, render)
    return over


def compare_all(
    names: Sequence[str], source: SourceOptions, model: ModelOptions, output: OutputOptions, asked: TokenizeOptions
) -> Over:
    """Every text in every tokenizer."""
    work = open_compared(names, source, model, output, asked)
    if source.lines and output.save is None:
        own, quiet = replace(model, offline=True), replace(output, quiet=True)
        return run_lines(source, output, work, partial(open_compared, names, source, own, quiet, asked), asked.workers)
    over = Over()
    texts = (Prompt(text, (), line) for text, line in read_texts(source, may_be_empty=True))
    prompts, compared = noting_empty(texts, output), partial(watched, work, over)
    run_each("tokenize", names[0], work.provenance, prompts, output, compared, render)
    return over


def watched(work: LineWork[R], over: Over, prompt: Prompt) -> R:
    """The result of one input, which is remembered where it has more tokens than are allowed."""
    result = work.run(prompt)
    over.add(work.over(result))
    return result
