"""Open the model, or the tokenizer, that the command line names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import EngineOptions, ModelOptions, OutputOptions
from llminspect.cli.output import be_silent, note
from llminspect.cli.progress import ProgressBars

if TYPE_CHECKING:
    from llminspect.model.opened import Model
    from llminspect.text.tokenizer import Tokenizer

NUMPY = EngineOptions()


def open_model_for(
    options: ModelOptions,
    output: OutputOptions,
    engine: EngineOptions = NUMPY,
    *,
    streamed: bool = False,
    finite: bool = True,
) -> Model:
    """Open the model of the command line, with a progress bar where something has to be fetched first."""
    from llminspect.opening import engine_settings, open_model

    settings = engine_settings(**vars(engine))
    if settings is not None and settings.coordinator is not None:
        from llminspect.backends.jax.hosts import join

        if settings.process is not None and settings.process[0]:
            be_silent()  # Before that, as what waits for the child may have to speak for it.
        if join(settings):
            be_silent()
            output = dataclasses.replace(output, quiet=True)
    with ProgressBars(output) as progress:
        return open_model(
            options.model,
            revision=options.revision,
            offline=options.offline,
            progress=progress,
            streamed=streamed,
            finite=finite,
            kernels=engine.kernels,
            engine=settings,
            note=lambda text: note(text, output),
        )


def open_tokenizer_for(options: ModelOptions, output: OutputOptions) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of the command line's model and its provenance, without touching any weights."""
    from llminspect.opening import open_tokenizer

    with ProgressBars(output) as progress:
        return open_tokenizer(options.model, revision=options.revision, offline=options.offline, progress=progress)


def named(options: ModelOptions, name: str | None) -> ModelOptions:
    """The options of a command that takes the model's name as its argument as well."""
    return options if name is None else dataclasses.replace(options, model=name)
