"""`encode --lines`: every line as ids, or every line of ids as text."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.cli.input import line_prompt
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.stream import LineWork, run_lines
from llminspect.commands.encode.ids import line_of_ids


def encode_lines(
    backwards: bool,
    one_hot: bool,
    source: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    workers: int | None,
) -> None:
    """Every line of standard input as ids, or every line of ids as text."""
    work = open_lines(backwards, one_hot, source, model, output)
    own, quiet = replace(model, offline=True), replace(output, quiet=True)
    run_lines(source, output, work, partial(open_lines, backwards, one_hot, source, own, quiet), workers)


def open_lines(
    backwards: bool, one_hot: bool, source: SourceOptions, model: ModelOptions, output: OutputOptions
) -> LineWork[Any]:
    """What is done with a line, in this process or another."""
    from llminspect.analysis.encode import decode, encode

    tokenizer, provenance = open_tokenizer_for(model, output)
    front = "encode", model.model, provenance, output.digits
    if backwards:
        prompt, back = partial(line_of_ids, source, tokenizer), partial(decode, tokenizer, bool(source.special))
        return LineWork(*front, prompt, back, in_turn=tokenizer.learns)
    prompt, there = partial(line_prompt, source, tokenizer), partial(encode, tokenizer, one_hot)
    return LineWork(*front, prompt, there, in_turn=tokenizer.learns)
