"""`tokenize --count` of one text: its stream counted in one tokenizer, or in each of several."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import IO

from llminspect.analysis.count import count
from llminspect.analysis.tokenization import (
    ComparedTokenizer,
    CompareResult,
    CountResult,
    TokenBudget,
    about,
    compared,
    exceeded,
)
from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.arguments.tokenize import TokenizeOptions
from llminspect.cli.input import check_source
from llminspect.cli.opening import MOMENT, ProgressBars, open_tokenizer_for
from llminspect.cli.output import note, write_text
from llminspect.cli.run import emit
from llminspect.cli.stream import bytes_left, is_argument, open_source
from llminspect.errors import UserError
from llminspect.opening import open_tokenizer
from llminspect.text.tokenizer import Tokenizer

Exceeded = tuple[str, int, TokenBudget]


def count_one(
    source: SourceOptions, model: ModelOptions, output: OutputOptions, options: TokenizeOptions
) -> list[Exceeded]:
    """Count in one tokenizer and write the number: by itself for the next program in the pipe."""
    check_source(source)
    tokenizer, provenance = open_tokenizer_for(model, output)
    with open_source(source) as stream:
        result = count_in(tokenizer, model, stream, bytes_left(stream), source, output, options)
    if not result.bytes:
        note("the text is empty", output)
    if output.json or output.save is not None or result.cost is not None:
        emit("tokenize", model.model, provenance, result, output)
    else:  # Without loading what draws.
        write_text(f"{result.count}\n")
    return exceeded(model.model, result.count, result.budget)


def count_compared(
    names: Sequence[str], source: SourceOptions, model: ModelOptions, output: OutputOptions, options: TokenizeOptions
) -> list[Exceeded]:
    """Count in several tokenizers; a pipe is read once and kept, on disk where it is long."""
    from llminspect.files.source import spooled

    check_source(source)
    opened = {name: open_tokenizer_for(replace(model, model=name), output) for name in names}
    stream = open_source(source)
    start, size = 0, bytes_left(stream)
    if size is None:
        with stream:
            stream, size = spooled(stream)
    else:
        start = stream.tell()
    models: list[ComparedTokenizer] = []
    counts: list[CountResult] = []
    over_budget: list[Exceeded] = []
    errors: list[UserError] = []
    with stream:
        for name, (tokenizer, _) in opened.items():
            stream.seek(start)
            try:
                result = count_in(tokenizer, replace(model, model=name), stream, size, source, output, options)
            except UserError as error:
                errors.append(error)
                models.append(ComparedTokenizer(name, about(tokenizer), error=error.message))
                continue
            counts.append(result)
            over_budget += exceeded(name, result.count, result.budget)
            models.append(compared(name, tokenizer, result))
    if not counts:
        raise errors[0]
    comparison = CompareResult(None, counts[0].characters or 0, counts[0].bytes or 0, models)
    provenance = {"models": {name: found for name, (_, found) in opened.items()}}
    emit("tokenize", names[0], provenance, comparison, output)
    return over_budget


def count_in(
    tokenizer: Tokenizer,
    model: ModelOptions,
    stream: IO[bytes],
    size: int | None,
    source: SourceOptions,
    output: OutputOptions,
    options: TokenizeOptions,
) -> CountResult:
    """The tokens of a stream of `size` bytes (None: nobody knows), with a progress bar on a terminal if it is long."""
    with ProgressBars(output) as progress:

        def step(done: int) -> None:
            if progress is not None and sys.stderr.isatty() and (size or done) > MOMENT:
                progress("counting", done, size)

        return count(
            tokenizer,
            stream,
            source,
            options,
            reopen=partial(open_tokenizer, model.model, revision=model.revision, offline=True),
            drop_final_newline=not is_argument(source),
            progress=step,
        )
