"""What every command does around its own work: open the model, run each input, hand the result to the output.

A command computes a Result, a frozen dataclass whose fields are its part of the JSON; a field that is None is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from llminspect.analysis.result import given_fields
from llminspect.cli.app import LazyCommands
from llminspect.cli.groups import OPTIONS_GIVEN
from llminspect.cli.output import SCHEMA, error_document, is_silent, note, report_error, write_json, write_rendering
from llminspect.errors import CheckFailed, UserError
from llminspect.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

    from llminspect.arguments.shared import OutputOptions
    from llminspect.core.array import Array
    from llminspect.files.npz import Streamed
    from llminspect.text.prompt import Prompt

R = TypeVar("R")


def fail_check(error: CheckFailed, output: OutputOptions, *, written: bool | None = None) -> NoReturn:
    """End with exit code 4 after the result was written; with --json that stays the only document.

    `written` is whether JSON was written, where that does not hang on --json alone (--lines).
    """
    if not (output.json if written is None else written):
        raise error
    report_error((), error.code, error.message, error.hint)
    raise SystemExit(error.exit_code)


def noting_empty(prompts: Iterable[Prompt], output: OutputOptions) -> Iterator[Prompt]:
    """The same, with a word on standard error where the one text is empty."""
    for prompt in prompts:
        # A message that only calls tools has no content to be empty.
        without = prompt.chat is not None and prompt.chat.messages[-1].get("content") is None
        if prompt.text == "" and prompt.line is None and not without:
            note("the text is empty", output)
        yield prompt


def run_each(
    command: str,
    model_name: str,
    provenance: dict[str, Any],
    prompts: Iterable[Prompt],
    output: OutputOptions,
    run: Callable[[Prompt], R],
    *,
    arrays: Callable[[R], Mapping[str, Array | Streamed]] | None = None,
    show: Callable[[R], RenderableType | None] | None = None,
    before: Callable[[Prompt], list[str]] | None = None,
    shown: Sequence[str] = (),
) -> None:
    """Run each prompt and write what comes of it: a rendering, one JSON document, or with --lines one a line.

    `before` says which of a result's notes are known before it is computed: these are shown at once, and those in
    `shown`, which are of every result, first and once.
    A line that cannot be done gives an error document of its own and the run goes on; the first error's exit code is
    that of the run.
    """
    first_error: UserError | None = None
    prompts = iter(prompts)
    show_notes(shown, None, output)
    while True:
        line = None
        try:
            prompt = next(prompts, None)
            if prompt is None:
                break
            line = prompt.line
            if prompt.error is not None:
                raise prompt.error
            noted = before(prompt) if before else []
            show_notes(noted, line, output)
            noted = [*noted, *shown]
            result = run(prompt)
        except UserError as error:
            if line is None:
                raise
            first_error = first_error or error
            write_json(line_error(command, error, line))
            continue
        emit(command, model_name, provenance, result, output, arrays=arrays, prompt=prompt, show=show, noted=noted)
    if first_error is not None:
        raise SystemExit(first_error.exit_code)


def emit(
    command: str,
    model_name: str | None,
    provenance: dict[str, Any],
    result: R,
    output: OutputOptions,
    *,
    details: Mapping[str, Any] | None = None,
    arrays: Callable[[R], Mapping[str, Array | Streamed]] | None = None,
    prompt: Prompt | None = None,
    show: Callable[[R], RenderableType | None] | None = None,
    noted: Collection[str] = (),
) -> None:
    """Write one result in the form that the options say, and to a file with `--save`.

    `prompt` is the input that it is of, where it is of one. `details` are what the command's `render` is given as
    well. `show` draws for the terminal where that is not what
    `render` draws: a command that streams has shown a part (or all: None) already. `noted` are notes that were shown
    before.
    """

    def draw() -> RenderableType:
        rendering: RenderableType = LazyCommands.known.render(command)(result, **(details or {}))
        return rendering

    line = None if prompt is None else prompt.line
    in_json, saved = output.json or line is not None, output.save is not None and not is_silent()
    document = document_of(command, model_name, provenance, result, prompt) if in_json or saved else {}
    notes = (*(getattr(result, "notes", None) or ()), *(prompt.notes if prompt is not None else ()))
    show_notes([remark for remark in notes if remark not in noted], line, output)
    if saved:
        from llminspect.cli.save import save

        given = (lambda: arrays(result)) if arrays else None
        path = save(output, document, draw, given, lambda text: note(text, output))
        if sys.stderr.isatty():  # Who looks wants to know that it was done; a script has the exit code.
            note(f"saved {path}", output)
    if in_json:
        write_json(document, output.digits)
    else:
        rendering = draw() if show is None else show(result)
        if rendering is not None:
            write_rendering(rendering, output)


def show_notes(notes: Iterable[str], line: int | None, output: OutputOptions) -> None:
    for remark in notes:
        note(remark if line is None else f"line {line}: {remark}", output)


def show_early(noted: list[str], output: OutputOptions, notes: Sequence[str]) -> None:
    """Show notes before the work starts, and keep them in `noted`: what is shown once is not shown after it."""
    show_notes(notes, None, output)
    noted.extend(notes)


def document_of(
    command: str, model_name: str | None, provenance: dict[str, Any], result: Any, prompt: Prompt | None = None
) -> dict[str, Any]:
    """The JSON document of a result. Its provenance is enough to repeat the run; the name of no model is null."""
    from llminspect.files.remarks import remarks

    line = {} if prompt is None or prompt.line is None else {"line": prompt.line}
    fields = {} if result is None else given_fields(result)
    notes = [*remarks(provenance), *fields.pop("notes", ()), *(prompt.notes if prompt is not None else ())]
    known = prompt is not None and prompt.tokens and not prompt.choices and prompt.count == len(prompt.tokens)
    ids = {"ids": prompt.ids} if prompt is not None and known else {}
    return {
        "schema": SCHEMA,
        "command": command,
        "model": model_name,
        **line,
        "provenance": {"version": __version__, **provenance, **ids, "options": OPTIONS_GIVEN.get()},
        **fields,
        **({"notes": notes} if notes else {}),
    }


def line_error(command: str, error: UserError, line: int) -> dict[str, Any]:
    """The JSON document of a line that cannot be done."""
    return {**error_document(command, error.code, error.message, error.hint), "line": line}
