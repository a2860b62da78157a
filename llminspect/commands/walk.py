"""`llminspect walk`: the whole way from text to text, step by step, by hand on the toys and then on the real model."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llminspect.commands._documents import Tokens
from llminspect.commands._input import Prompt, read_prompts, token_documents
from llminspect.commands._options import ModelOptions, OutputOptions, SourceOptions, takes_groups
from llminspect.commands._run import check_prompt, open_for, run_each
from llminspect.commands._save import check_ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from llminspect.model import Model
    from llminspect.text.tokenizer import Tokenizer

SENTENCE = "The capital of France is"
"""What is followed where nothing else was given."""


@dataclass(frozen=True)
class Part:
    """What one command says about a step."""

    model: str
    arguments: list[str]
    """`llminspect` with these says the same, and more of it."""
    result: Any
    """What that command writes, as `llminspect schema` describes it; keys that say nothing about the step are left
    out."""


@dataclass(frozen=True)
class Chapter:
    """One step of the way."""

    number: int
    title: str
    says: str
    by_hand: list[Part]
    """On a model that is small enough for paper."""
    model: list[Part]
    """The same in the real model."""


@dataclass(frozen=True)
class Result:
    """The way of one text, a chapter a step."""

    text: str | None
    tokens: Tokens
    chapters: list[Chapter]


def run(model: Model, options: ModelOptions, source: SourceOptions, prompt: Prompt) -> Result:
    """Every step of the way of one text. Raises UsageError for a model that does not go from text to text."""
    from llminspect.commands._walk_steps import chapters, check_walks

    check_walks(model)
    check_prompt(model, prompt)
    return Result(prompt.text, token_documents(prompt.tokens), chapters(model, options, source, prompt))


def render(result: Result) -> RenderableType:
    """All chapters."""
    from llminspect.commands._walk_render import whole

    return whole(result)


def stepwise(result: Result, output: OutputOptions) -> None:
    """A chapter at a time; Enter goes on, q ends it."""
    from llminspect.commands._output import pause, write_rendering
    from llminspect.commands._walk_render import pages

    shown = list(pages(result))
    for index, page in enumerate(shown):
        write_rendering(page, output)
        if index < len(shown) - 1 and not pause("Enter: the next step · q: end "):
            return


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    paused: Annotated[
        bool | None,
        typer.Option(
            "--pause/--no-pause",
            help="Wait for Enter behind each step. Default: on a terminal.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Go the whole way from text to text, step by step: by hand on a toy, then in the real model.

    \b
    llminspect walk
    llminspect walk "Alice gave Bob her book" --no-pause
    """
    check_ending(output, arrays=False)
    opened = open_for(model, output)
    waits = sys.stdin.isatty() and (sys.stdout.isatty() if paused is None else paused)
    prompts = _prompts(source, opened.tokenizer)
    working = partial(run, opened, model, source)
    show = partial(stepwise, output=output) if waits else render
    run_each("walk", opened.name, opened.provenance, prompts, output, working, render, show=show)


def _prompts(source: SourceOptions, tokenizer: Tokenizer | None) -> Iterator[Prompt]:
    """The text of the command line; a sentence of our own where there is none, and none in the pipe."""
    from llminspect.commands._input import read_text

    given = (source.text, source.file, source.ids, source.user)
    if not source.lines and all(entry is None for entry in given):
        text = SENTENCE if sys.stdin.isatty() else read_text(source) or SENTENCE
        source = replace(source, text=text)
    return read_prompts(source, tokenizer)
