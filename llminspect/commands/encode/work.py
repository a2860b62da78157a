"""What `encode` does with each text or each list of ids, here or (with `--lines`) in other processes."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.analysis.encode import decode, encode
from llminspect.analysis.prompt import prompt_of_ids, text_prompt
from llminspect.arguments.ranges import parse_ids
from llminspect.cli.input import guarded, line_prompt, read_prompts, read_texts
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.output import write_text
from llminspect.cli.run import noting_empty, run_each
from llminspect.cli.stdout import write_bytes
from llminspect.cli.stream import LineWork, run_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
    from llminspect.text.prompt import Prompt
    from llminspect.text.tokenizer import Tokenizer

_IDS = re.compile(r"\s*([\[{]|[\d,]|-\d)")
"""How a list of ids begins; a text there and back begins otherwise."""


def encode_lines(
    decodes: bool, one_hot: bool, source: SourceOptions, model: ModelOptions, output: OutputOptions, workers: int | None
) -> None:
    """Every line of standard input as ids; with `decodes` every line of ids as text."""
    work = open_lines(decodes, one_hot, source, model, output)
    here = replace(model, offline=True), replace(output, quiet=True)
    run_lines(source, output, work, partial(open_lines, decodes, one_hot, source, *here), workers)


def open_lines(
    decodes: bool, one_hot: bool, source: SourceOptions, model: ModelOptions, output: OutputOptions
) -> LineWork[Any]:
    """What is done with a line, in this process or another."""
    tokenizer, provenance = open_tokenizer_for(model, output)
    run: Callable[[Prompt], Any]
    if decodes:
        prompt, run = partial(line_of_ids, source, tokenizer), partial(decode, tokenizer, bool(source.special))
    else:
        prompt, run = partial(line_prompt, source, tokenizer), partial(encode, tokenizer, one_hot)
    return LineWork("encode", model.model, provenance, output.digits, prompt, run, in_turn=tokenizer.learns)


def encode_all(
    decodes: bool,
    one_hot: bool,
    source: SourceOptions,
    name: str,
    opened: tuple[Tokenizer, dict[str, Any]],
    output: OutputOptions,
    render: Callable[[Any], RenderableType],
) -> None:
    """Every text as ids; with `decodes` every list of ids as text. In a pipe nothing else is written but these."""
    tokenizer, provenance = opened
    if decodes:
        back, prompts = partial(decode, tokenizer, bool(source.special)), prompts_of_ids(source, tokenizer)
        if bare(source, output):
            for prompt in prompts:
                write_bytes(bytes.fromhex(back(prompt).bytes))
        else:
            run_each("encode", name, provenance, prompts, output, back, render)
        return
    prompts = noting_empty(read_prompts(source, tokenizer, may_be_empty=True), output)
    if bare(source, output) and not one_hot:
        for prompt in prompts:
            write_text(" ".join(map(str, prompt.ids)) + "\n")
    else:
        run_each("encode", name, provenance, prompts, output, partial(encode, tokenizer, one_hot), render)


def bare(source: SourceOptions, output: OutputOptions) -> bool:
    """Whether the next program in the pipe reads what is written, rather than a person or a parser of JSON."""
    for_others = output.json or source.lines or output.save is not None or output.color == "always"
    return not for_others and not sys.stdout.isatty()


def prompts_of_ids(source: SourceOptions, tokenizer: Tokenizer) -> Iterator[Prompt]:
    """Ids from --ids, or from TEXT, --file and standard input where those hold numbers or JSON; a text is encoded."""
    if source.ids is not None:
        yield from read_prompts(source, tokenizer)
        return
    for text, line in read_texts(source, may_be_empty=True):
        yield guarded(line, partial(ids_in, text, source, tokenizer, line))


def line_of_ids(source: SourceOptions, tokenizer: Tokenizer, line: str, number: int) -> Prompt:
    """One line of `--lines` as an input."""
    if source.ids is not None:
        return line_prompt(source, tokenizer, line, number)
    return ids_in(line, source, tokenizer, number)


def ids_in(text: str, source: SourceOptions, tokenizer: Tokenizer, line: int | None) -> Prompt:
    """The ids that a text holds, or those of the text."""
    if text and not _IDS.match(text):
        return text_prompt(text, source, tokenizer, line)
    return prompt_of_ids(parse_ids(text) if text else [], tokenizer, line)
