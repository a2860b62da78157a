"""Open the model, or the tokenizer, that the command line names, with progress bars on standard error."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import EngineOptions, ModelOptions, NamedOptions, OutputOptions
from llminspect.cli.output import be_silent, note
from llminspect.cli.waiting import BARS, hold, release
from llminspect.files import remarks

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from llminspect.opening import Progress
    from llminspect.text.tokenizer import Tokenizer

NUMPY = EngineOptions()
MOMENT = 4 << 20
"""Bytes that are fetched or prepared before anybody wonders."""


def open_model_for(
    options: ModelOptions,
    output: OutputOptions,
    engine: EngineOptions = NUMPY,
    *,
    streamed: bool = False,
    finite: bool = True,
    writing: bool = False,
) -> Model:
    """Open the model of the command line, with a progress bar where something has to be fetched first."""
    from llminspect.backends.settings import engine_settings
    from llminspect.opening import open_model

    settings = engine_settings(**vars(engine))
    if settings is not None and settings.coordinator is not None:
        from llminspect.backends.jax.hosts import join

        if settings.process is not None and settings.process[0]:
            be_silent()  # Before that, as what waits for the child may have to speak for it.
        if join(settings):
            be_silent()
            output = dataclasses.replace(output, quiet=True)
    with ProgressBars(output) as progress:
        opened = open_model(
            options.model,
            **options.reading,
            progress=progress,
            streamed=streamed,
            finite=finite,
            kernels=engine.kernels,
            precision=engine.precision,
            engine=settings,
            note=lambda text: note(text, output),
            writing=writing,
        )
    if not streamed:  # Which is opened beside one that was spoken of.
        note_reading(opened.provenance, output)
    return opened


def note_reading(provenance: Mapping[str, Any], output: OutputOptions) -> None:
    """Say what of a model's files was passed over or added."""
    for remark in remarks.remarks(provenance):
        note(remark, output, always=remark.startswith(remarks.ALWAYS) and not output.json)


def open_tokenizer_for(options: NamedOptions, output: OutputOptions) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of the command line's model and its provenance, without touching any weights."""
    from llminspect.opening import open_tokenizer

    with ProgressBars(output) as progress:
        opened = open_tokenizer(options.model, revision=options.revision, offline=options.offline, progress=progress)
    note_reading(opened[1], output)
    return opened


def named(options: ModelOptions, name: str | None) -> ModelOptions:
    """The options of a command that takes the model's name as its argument as well."""
    return options if name is None else dataclasses.replace(options, model=name)


class ProgressBars:
    """A progress bar on standard error where that is a terminal; where it is not, a line for what is worth one."""

    def __init__(self, output: OutputOptions, unit: str = "bytes") -> None:
        self.output, self.unit = output, unit
        self.bar: Any = None
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress | None:
        self.before, remarks.listener = remarks.listener, lambda text: note(text, self.output)
        return None if self.output.quiet else self._step

    def _step(self, what: str, done: int, total: int | None) -> None:
        if what not in self.tasks:
            self._start(what, total)
        if self.bar is not None:
            self.bar.update(self.tasks[what], completed=done, total=total)

    def _start(self, what: str, total: int | None) -> None:
        if not sys.stderr.isatty():
            self.tasks[what] = None
            if self.unit == "bytes" and (total is None or total > MOMENT):
                note(f"{what} …", self.output)
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        counted = DownloadColumn() if self.unit == "bytes" else TextColumn(f"{{task.completed:,.0f}} {self.unit}")
        if self.bar is None:
            hold()
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), counted, TimeRemainingColumn())
            # What is written goes where it should, and the bar away before.
            terminal = Console(stderr=True)
            self.bar = Progress(
                *columns, console=terminal, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self.bar.start()
            BARS.append(self._remove)
        self.tasks[what] = self.bar.add_task(what, total=total)

    def __exit__(self, *_: object) -> None:
        remarks.listener = self.before
        self._remove()

    def _remove(self) -> None:
        """Until the next step."""
        if self.bar is not None:
            BARS.remove(self._remove)
            self.bar.stop()
            self.bar = None
            self.tasks.clear()
            release()
