"""`encode --decode`: where the ids come from, and text as exactly the bytes that they stand for."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.arguments.ids import parse_ids
from llminspect.cli.input import guarded, line_prompt, read_prompts, read_texts
from llminspect.cli.run import run_each
from llminspect.cli.stdout import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from llminspect.analysis.encode import DecodeResult
    from llminspect.arguments.shared import OutputOptions, SourceOptions
    from llminspect.text.prompt import Prompt
    from llminspect.text.tokenizer import Tokenizer

_IDS = re.compile(r"\s*([\[{]|[\d,]|-\d)")
"""How a list of ids begins; a text there and back begins otherwise."""


def decode_all(
    source: SourceOptions,
    name: str,
    tokenizer: Tokenizer,
    provenance: dict[str, Any],
    output: OutputOptions,
    render: Callable[[DecodeResult], RenderableType],
) -> None:
    """Every list of ids as text. In a pipe the text is written as its bytes and nothing else."""
    from llminspect.analysis.encode import decode

    run = partial(decode, tokenizer, bool(source.special))
    prompts = prompts_of_ids(source, tokenizer)
    if not bare(source, output):
        run_each("encode", name, provenance, prompts, output, run, render)
        return
    for prompt in prompts:
        write_bytes(bytes.fromhex(run(prompt).bytes))


def bare(source: SourceOptions, output: OutputOptions) -> bool:
    """Whether the next program in the pipe reads what is written, rather than a person or a parser of JSON."""
    asked = output.json or source.lines or output.save is not None or output.color == "always"
    return not asked and not sys.stdout.isatty()


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
    from llminspect.analysis.prompt import prompt_of_ids, text_prompt

    if text and not _IDS.match(text):
        return text_prompt(text, source, tokenizer, line)
    return prompt_of_ids(parse_ids(text) if text else [], tokenizer, line)
