"""`llminspect encode`: a text as the ids that a model reads, and ids as text again."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from llminspect.analysis.prompt import prompt_of_ids
from llminspect.arguments.ranges import parse_ids
from llminspect.arguments.shared import NamedOptions, OutputOptions, PairOptions, SourceOptions
from llminspect.arguments.tokenize import EncodeOptions, SearchOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import line_prompt, read_with
from llminspect.cli.opening import open_tokenizer_for
from llminspect.cli.output import write_bytes, write_text
from llminspect.cli.run import emit, noting_empty, run_each
from llminspect.cli.stream import LineWork, run_lines
from llminspect.text.prompt import Prompt
from llminspect.text.tokenizer import Tokenizer

RESULTS = "analysis.encode.EncodeResult analysis.encode.DecodeResult analysis.encode.SearchResult"
_IDS = re.compile(r"\s*([\[{]|[\d,]|-\d)")
"""How a list of ids begins; a text there and back begins otherwise."""


@takes_groups
def command(
    source: PairOptions, model: NamedOptions, output: OutputOptions, searched: SearchOptions, options: EncodeOptions
) -> None:
    """Write a text as the ids that a model reads, or ids as text.

    \b
    llminspect encode "Alice gave Bob her book"
    llminspect encode --decode 7356,4502,8363
    llminspect encode HI --letters
    llminspect encode --search "*ization" --longest
    """
    model = replace(model, model="letters") if options.letters else model
    if searched.search is None:
        _encode_all(options, source, model, output)
        return
    from llminspect.analysis.encode import search_vocabulary

    tokenizer, provenance = open_tokenizer_for(model, output)
    found = search_vocabulary(tokenizer, searched)
    emit("encode", model.model, provenance, found, output, details={"limit": searched.limit})


def _encode_all(options: EncodeOptions, source: SourceOptions, model: NamedOptions, output: OutputOptions) -> None:
    """Every text as ids; with --decode every list of ids as text. In a pipe nothing else is written but these."""
    make = partial(_open_work, options, source)
    work = make(model, output)
    if source.lines and output.save is None:
        run_lines(source, model, output, work, make, options.workers)
        return
    prompts = read_with(work.prompt, source, may_be_empty=True)
    if not options.decode:
        prompts = noting_empty(prompts, output)
    # Whether the next program in the pipe reads what is written, rather than a person or a parser of JSON.
    for_others = output.json or source.lines or output.save is not None or output.color == "always"
    if for_others or sys.stdout.isatty() or options.one_hot:
        run_each("encode", work.model_name, work.provenance, prompts, output, work.run)
        return
    for prompt in prompts:
        if options.decode:
            write_bytes(bytes.fromhex(work.run(prompt).bytes))
        else:
            write_text(" ".join(map(str, prompt.known_ids())) + "\n")


def _open_work(
    options: EncodeOptions, source: SourceOptions, model: NamedOptions, output: OutputOptions
) -> LineWork[Any]:
    """What is done with a text, in this process or another."""
    from llminspect.analysis.encode import decode, encode

    tokenizer, provenance = open_tokenizer_for(model, output)
    run: Callable[[Prompt], Any]
    if options.decode:
        prompt, run = partial(_ids_in, source, tokenizer), partial(decode, tokenizer, bool(source.special))
    else:
        prompt, run = partial(_filled, source, tokenizer), partial(encode, tokenizer, options.one_hot)
    return LineWork("encode", model.model, provenance, output.digits, prompt, run, in_turn=tokenizer.learns)


def _filled(source: SourceOptions, tokenizer: Tokenizer, text: str, line: int | None) -> Prompt:
    """A text, or ids, which have to be ids of the tokenizer."""
    prompt = line_prompt(source, tokenizer, text, line)
    if source.ids is not None:
        tokenizer.check(prompt.ids)
    return prompt


def _ids_in(source: SourceOptions, tokenizer: Tokenizer, text: str, line: int | None) -> Prompt:
    """Ids from --ids, or from TEXT, --file and standard input where those hold numbers or JSON; a text is encoded."""
    if source.ids is not None or (text and not _IDS.match(text)):
        return line_prompt(source, tokenizer, text, line)
    return prompt_of_ids(parse_ids(text) if text else [], tokenizer, line)
