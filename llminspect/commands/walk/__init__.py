"""`llminspect walk`: the whole way from text to text, step by step, by hand on the toys and then on the real model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llminspect.arguments.shared import ModelOptions, PageOptions, SourceOptions
from llminspect.arguments.small import WalkOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts, read_text
from llminspect.cli.opening import open_model_for
from llminspect.cli.output import console, pause, write_rendering
from llminspect.cli.run import run_each
from llminspect.cli.save import is_page
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.analysis.walk import WalkResult
    from llminspect.text.tokenizer import Tokenizer

RESULTS = "analysis.walk.WalkResult"


SENTENCE = "The capital of France is"
"""What is followed where nothing else was given."""


def stepwise(result: WalkResult, output: PageOptions) -> None:
    """A screen at a time; Enter goes on, b back, q ends it."""
    from llminspect.commands.walk.view import pages
    from llminspect.render.screens import screens

    shown = list(pages(result))
    chapter, screen = 0, 0
    while True:
        terminal = console(output)  # Its size may have changed.
        is_last = chapter == len(shown) - 1
        parts = screens(*shown[chapter], terminal, terminal.height - 1, fills=not is_last)
        screen = min(screen, len(parts) - 1) if screen >= 0 else len(parts) - 1
        write_rendering(parts[screen], output)
        is_first, is_end = not chapter and not screen, screen == len(parts) - 1
        if is_end and is_last:
            return
        place = f"step {chapter + 1} of {len(shown)}" + (f" ({screen + 1} of {len(parts)})" if len(parts) > 1 else "")
        answer = pause(f"{place} · Enter: the next{'' if is_first else ' · b: back'} · q: end ")
        if answer == "q":
            return
        if answer == "b" and not is_first:
            chapter, screen = (chapter, screen - 1) if screen else (chapter - 1, -1)
        elif answer != "b":
            chapter, screen = (chapter + 1, 0) if is_end else (chapter, screen + 1)


@takes_groups
def command(source: SourceOptions, model: ModelOptions, output: PageOptions, options: WalkOptions) -> None:
    """Go the whole way from text to text, step by step: by hand on a toy, then in the real model.

    \b
    llminspect walk
    llminspect walk "Alice gave Bob her book" --no-pause
    llminspect walk --save page.html --interactive
    """
    from llminspect.analysis.long_texts import noted_before
    from llminspect.analysis.walk import check_walks, walk

    opened = open_model_for(model, output)
    check_walks(opened)
    waits = sys.stdin.isatty() and (sys.stdout.isatty() if options.paused is None else options.paused)
    prompts = _prompts(source, opened.tokenizer)
    working = partial(walk, opened, model, source, follow=is_page(output))
    show = partial(stepwise, output=output) if waits else None
    before = partial(noted_before, opened)
    run_each("walk", opened.name, opened.provenance, prompts, output, working, show=show, before=before)


def _prompts(source: SourceOptions, tokenizer: Tokenizer | None) -> Iterator[Prompt]:
    """The text of the command line; `SENTENCE` where there is none, and none in the pipe."""
    given = (source.text, source.file, source.ids, source.user)
    if not source.lines and all(entry is None for entry in given):
        text = SENTENCE if sys.stdin.isatty() else read_text(source) or SENTENCE
        source = replace(source, text=text)
    return read_prompts(source, tokenizer)
