"""What every command does around its own work: open the model, run each input, hand the result to the output.

A command computes a Result, a frozen dataclass whose fields are its part of the JSON; a field that is None is left out.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from llminspect.commands import _output
from llminspect.commands._options import OPTIONS_GIVEN, EngineOptions, ModelOptions, OutputOptions
from llminspect.errors import CheckFailed, UsageError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rich.console import RenderableType

    from llminspect.commands._input import Prompt
    from llminspect.core.array import Array
    from llminspect.engine.settings import EngineSettings
    from llminspect.files.npz import Streamed
    from llminspect.model import Model, Progress
    from llminspect.text.tokenizer import Tokenizer

R = TypeVar("R")
NUMPY = EngineOptions()


def open_for(
    options: ModelOptions,
    output: OutputOptions,
    engine: EngineOptions = NUMPY,
    *,
    streamed: bool = False,
    finite: bool = True,
) -> Model:
    """Open the model of the command line, with a progress bar where something has to be fetched first."""
    from llminspect.model import open_model

    settings = _engine_settings(engine)
    if settings is not None and settings.coordinator is not None:
        from llminspect.engine.hosts import join

        if settings.process is not None and settings.process[0]:
            _output.be_silent()  # Before that, as what waits for the child may have to speak for it.
        if join(settings):
            _output.be_silent()
            output = dataclasses.replace(output, quiet=True)
    with ProgressBars(output) as progress:
        model = open_model(
            options.model,
            revision=options.revision,
            offline=options.offline,
            progress=progress,
            streamed=streamed or settings is not None,
            finite=finite,
            kernels=engine.kernels == "numba",
        )
        if settings is None:
            return model
        from llminspect.engine.start import on_jax

        return on_jax(model, settings, progress=progress, note=lambda text: _output.note(text, output))


def _engine_settings(engine: EngineOptions) -> EngineSettings | None:
    """None for numpy. Raises UsageError for options that are the other's alone, UserError for what is not installed."""
    if engine.engine == "numpy":
        if engine.kernels == "numba":
            from llminspect.kernels import check_installed

            check_installed()
        for option in ("mesh", "dtype", "coordinator", "process"):
            if getattr(engine, option) is not None:
                raise UsageError(f"--{option} says nothing to the engine numpy", "give --engine jax as well")
        return None
    if engine.kernels != "numpy":
        raise UsageError("--kernels says nothing to the engine jax", "take --engine numpy")
    from importlib.util import find_spec

    from llminspect.engine.settings import settings_of

    settings = settings_of(engine.mesh, engine.dtype, engine.coordinator, engine.process)
    if find_spec("jax") is None:
        raise UserError(
            "--engine jax needs JAX, which is not installed",
            "pip install 'llminspect-cli[jax]', or 'llminspect-cli[cuda]' for NVIDIA GPUs",
        )
    return settings


def open_tokenizer_for(options: ModelOptions, output: OutputOptions) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of the command line's model and its provenance, without touching any weights."""
    from llminspect.model import open_tokenizer

    with ProgressBars(output) as progress:
        return open_tokenizer(options.model, revision=options.revision, offline=options.offline, progress=progress)


def named(options: ModelOptions, name: str | None) -> ModelOptions:
    """The options of a command that takes the model's name as its argument as well."""
    return options if name is None else dataclasses.replace(options, model=name)


def fail_check(error: CheckFailed, output: OutputOptions, *, written: bool | None = None) -> NoReturn:
    """End with exit code 4 after the result was written; with --json that stays the only document.

    `written` is whether JSON was written, where that does not hang on --json alone (--lines).
    """
    if not (output.json if written is None else written):
        raise error
    _output.report_error((), error.code, error.message, error.hint)
    raise SystemExit(error.exit_code)


def check_prompt(model: Model, prompt: Prompt) -> None:
    """Raise UsageError for ids outside the vocabulary and for a text longer than the context."""
    sizes = model.config.sizes
    outside = [token_id for token_id in prompt.ids if token_id >= sizes.V]
    if outside:
        raise UsageError(
            f"id {outside[0]} is outside the vocabulary", f"ids of {model.name} run from 0 to {sizes.V - 1}"
        )
    if not prompt.tokens:
        raise UsageError("the text gives no tokens", "give at least one character")
    if len(prompt.tokens) > sizes.context:
        raise UsageError(
            f"the text has {len(prompt.tokens)} tokens, the context of {model.name} ends at {sizes.context}",
            f"shorten it: llminspect tokenize --truncate {sizes.context}",
        )


def noting_empty(prompts: Iterable[Prompt], output: OutputOptions) -> Iterator[Prompt]:
    """The same, with a word on standard error where the one text is empty."""
    for prompt in prompts:
        if prompt.text == "" and prompt.line is None:
            _output.note("the text is empty", output)
        yield prompt


def run_each(
    command: str,
    model_name: str,
    provenance: dict[str, Any],
    prompts: Iterable[Prompt],
    output: OutputOptions,
    run: Callable[[Prompt], R],
    render: Callable[[R], RenderableType],
    arrays: Callable[[R], Mapping[str, Array | Streamed]] | None = None,
    show: Callable[[R], RenderableType | None] | None = None,
) -> None:
    """Run each prompt and write what comes of it: a rendering, one JSON document, or with --lines one a line.

    A line that cannot be done gives an error document of its own and the run goes on; the first error's exit code is
    that of the run.
    """
    first_error: UserError | None = None
    prompts = iter(prompts)
    while True:
        line = None
        try:
            prompt = next(prompts, None)
            if prompt is None:
                break
            line = prompt.line
            if prompt.error is not None:
                raise prompt.error
            result = run(prompt)
        except UserError as error:
            if line is None:
                raise
            first_error = first_error or error
            document = _output.error_document(command, error.code, error.message, error.hint)
            _output.write_json({**document, "line": line})
            continue
        ids = {"ids": prompt.ids} if prompt.tokens else {}
        emit(command, model_name, {**provenance, **ids}, result, output, render, arrays, line, show)
    if first_error is not None:
        raise SystemExit(first_error.exit_code)


def emit(
    command: str,
    model_name: str | None,
    provenance: dict[str, Any],
    result: R,
    output: OutputOptions,
    render: Callable[[R], RenderableType],
    arrays: Callable[[R], Mapping[str, Array | Streamed]] | None = None,
    line: int | None = None,
    show: Callable[[R], RenderableType | None] | None = None,
) -> None:
    """Write one result in the form that was asked for, and to a file where `--save` says so.

    `show` draws for the terminal where that is not what `render` draws: a command that streams has shown a part (or
    all: None) already.
    """
    if output.save is not None and not _output.is_silent():
        from llminspect.commands._save import save

        document = {**header(command, model_name, provenance, line), **fields_of(result)}
        save(output, document, lambda: render(result), (lambda: arrays(result)) if arrays else None)
    if output.json or line is not None:
        document = {**header(command, model_name, provenance, line), **_output.given_fields(result)}
        _output.write_json(document, output.digits)
    else:
        rendering = (show or render)(result)
        if rendering is not None:
            _output.write_rendering(rendering, output)


def header(command: str, model_name: str | None, provenance: dict[str, Any], line: int | None = None) -> dict[str, Any]:
    """How every document starts; the provenance is enough to repeat the run. No model: its name is null."""
    from llminspect import __version__

    return {
        "schema": _output.SCHEMA,
        "command": command,
        "model": model_name,
        **({} if line is None else {"line": line}),
        "provenance": {"version": __version__, **provenance, "options": OPTIONS_GIVEN.get()},
    }


def fields_of(result: Any) -> dict[str, Any]:
    """A Result as a JSON object: dataclasses become objects, a field that is None is left out."""
    return {name: _value(value) for name, value in _output.given_fields(result).items()}


def _value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return fields_of(value)
    if isinstance(value, list | tuple):
        return [_value(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _value(entry) for key, entry in value.items()}
    return value


MOMENT = 4 << 20
"""Bytes that are fetched or prepared before anybody wonders."""


class ProgressBars:
    """A progress bar on standard error where that is a terminal; where it is not, a line for what is worth one."""

    def __init__(self, output: OutputOptions) -> None:
        self.quiet = output.quiet
        self.bar: Any = None
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress | None:
        return None if self.quiet else self._step

    def _step(self, what: str, done: int, total: int | None) -> None:
        if what not in self.tasks:
            self._start(what, total)
        elif self.bar is not None:
            self.bar.update(self.tasks[what], completed=done, total=total)

    def _start(self, what: str, total: int | None) -> None:
        if not sys.stderr.isatty():
            self.tasks[what] = None
            if total is None or total > MOMENT:
                sys.stderr.write(f"llminspect: {what} …\n")
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        if self.bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
        self.tasks[what] = self.bar.add_task(what, total=total)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
