"""Open the model, or the tokenizer, that the command line names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from llminspect.arguments.shared import EngineOptions, ModelOptions, OutputOptions
from llminspect.cli.output import be_silent, note
from llminspect.cli.progress import ProgressBars
from llminspect.errors import UsageError, UserError

if TYPE_CHECKING:
    from llminspect.backends.jax.settings import EngineSettings
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
    from llminspect.opening import open_model

    settings = _engine_settings(engine)
    if settings is not None and settings.coordinator is not None:
        from llminspect.backends.jax.hosts import join

        if settings.process is not None and settings.process[0]:
            be_silent()  # Before that, as what waits for the child may have to speak for it.
        if join(settings):
            be_silent()
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
        from llminspect.backends.jax.start import on_jax

        return on_jax(model, settings, progress=progress, note=lambda text: note(text, output))


def _engine_settings(engine: EngineOptions) -> EngineSettings | None:
    """None for numpy. Raises UsageError for options that are the other's alone, UserError for what is not installed."""
    if engine.engine == "numpy":
        if engine.kernels == "numba":
            from llminspect.backends.kernels import check_installed

            check_installed()
        for option in ("mesh", "dtype", "coordinator", "process"):
            if getattr(engine, option) is not None:
                raise UsageError(f"--{option} says nothing to the engine numpy", "give --engine jax as well")
        return None
    if engine.kernels != "numpy":
        raise UsageError("--kernels says nothing to the engine jax", "take --engine numpy")
    from importlib.util import find_spec

    from llminspect.backends.jax.settings import settings_of

    settings = settings_of(engine.mesh, engine.dtype, engine.coordinator, engine.process)
    if find_spec("jax") is None:
        raise UserError(
            "--engine jax needs JAX, which is not installed",
            "pip install 'llminspect-cli[jax]', or 'llminspect-cli[cuda]' for NVIDIA GPUs",
        )
    return settings


def open_tokenizer_for(options: ModelOptions, output: OutputOptions) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of the command line's model and its provenance, without touching any weights."""
    from llminspect.opening import open_tokenizer

    with ProgressBars(output) as progress:
        return open_tokenizer(options.model, revision=options.revision, offline=options.offline, progress=progress)


def named(options: ModelOptions, name: str | None) -> ModelOptions:
    """The options of a command that takes the model's name as its argument as well."""
    return options if name is None else dataclasses.replace(options, model=name)
