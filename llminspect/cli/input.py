"""From the command line's text, file, standard input or ids to the tokens that a command works on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from llminspect.analysis.prompt import prompt_of_ids, text_prompt
from llminspect.arguments.ranges import parse_ids
from llminspect.cli.waiting import standard_input
from llminspect.errors import UsageError, UserError
from llminspect.files.marks import unmarked, unmarked_lines
from llminspect.text.prompt import Prompt

if TYPE_CHECKING:
    from llminspect.arguments.shared import SourceOptions
    from llminspect.text.tokenizer import Tokenizer


def read_prompts(source: SourceOptions, tokenizer: Tokenizer | None) -> Iterator[Prompt]:
    """Each input of the command line: one, or with `--lines` one a line of standard input.

    Raises UsageError for none or several of TEXT, --file and --ids, an empty text, text for a model without a
    tokenizer, and whatever the tokenizer refuses.
    """
    return read_with(partial(line_prompt, source, tokenizer), source)


def read_with(
    make: Callable[[str, int | None], Prompt], source: SourceOptions, *, may_be_empty: bool = False
) -> Iterator[Prompt]:
    """The same, each made by `make` of a text (or of what --ids lists) and of the number of its line, from 0.

    A line that cannot be done is a prompt with its error, which `run_each` writes in its place.
    """
    check_source(source)
    if source.lines:
        for number, line in enumerate(_lines(source)):
            try:
                prompt = make(line, number)
            except UserError as error:
                prompt = Prompt(None, (), number, error)
            yield prompt
    elif source.ids is not None:
        yield make(_standard_input() if source.ids == "-" else source.ids, None)
    else:
        text = read_text(source)
        if not text and not may_be_empty:
            raise UsageError("the text is empty", "give at least one character")
        yield make(text, None)


def check_source(source: SourceOptions) -> None:
    """Raise UsageError where several of TEXT, --file and --ids were given, or --lines with a text."""
    given = [name for name in ("text", "file", "ids", "user") if getattr(source, name) is not None]
    if len(given) > 1:
        named = {"text": "TEXT", "file": "--file", "ids": "--ids", "user": "--user"}
        raise UsageError(f"{' and '.join(named[name] for name in given)} were given", "give one of them")
    if source.lines and (source.user is not None or source.text not in (None, "-") or source.ids not in (None, "-")):
        raise UsageError("--lines reads standard input", "leave out TEXT, or leave out --lines")


def read_text(source: SourceOptions) -> str:
    """The one text of the command line. Standard input is read only when nothing else was given."""
    if source.user is not None:
        return source.user
    if source.file is not None:
        from llminspect.files.source import read_text as read_file

        return _without_final_newline(read_file(source.file))
    if source.text is not None and source.text != "-":
        return source.text
    check_given(source)
    return _without_final_newline(_standard_input())


def check_given(source: SourceOptions) -> None:
    """Raise UsageError rather than wait for a text on a terminal without being told so by `-`."""
    if source.text is None and sys.stdin.isatty():
        raise UsageError("no text was given", 'give it in quotes: "Alice gave Bob her book", or give - to type it')


def line_prompt(source: SourceOptions, tokenizer: Tokenizer | None, text: str, line: int | None) -> Prompt:
    """One input, such as a line of `--lines`: a text, or with --ids the ids that it lists."""
    if source.ids is None:
        return text_prompt(text, source, tokenizer, line)
    ids = parse_ids(text)
    if not ids:
        raise UsageError("no ids were given", "give at least one: --ids 1,2,3")
    return prompt_of_ids(ids, tokenizer, line)


def reads_standard_input(source: SourceOptions) -> bool:
    """Whether texts or ids come from there."""
    if source.file is not None or source.user is not None:
        return False
    return source.lines or "-" in (source.text, source.ids) or (source.text is None and source.ids is None)


def _standard_input() -> str:
    return unmarked(standard_input().read()).decode("utf-8", "surrogateescape")


def _lines(source: SourceOptions) -> Iterator[str]:
    if source.file is None:
        return unmarked_lines(standard_input())
    from llminspect.files.source import read_lines

    return read_lines(source.file)


def _without_final_newline(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
