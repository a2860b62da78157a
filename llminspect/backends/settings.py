"""Which engine computes, from the options that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.errors import UsageError, UserError

if TYPE_CHECKING:
    from llminspect.backends.jax.settings import EngineSettings, Number


def engine_settings(
    engine: str,
    kernels: str | None,
    precision: str | None,
    threads: int | None,
    *,
    mesh: str | None,
    dtype: Number | None,
    coordinator: str | None,
    process: str | None,
) -> EngineSettings | None:
    """How JAX runs, from the options of those names; None for numpy, which is told how many `threads` to use.

    Raises UsageError for options that are the other engine's alone, UserError for what is not installed.
    """
    if engine == "numpy":
        given = {"mesh": mesh, "dtype": dtype, "coordinator": coordinator, "process": process}
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"--{option} has no effect on the engine numpy", "give --engine jax as well")
        if precision == "int8" and kernels == "none":
            raise UsageError(
                "--precision int8 multiplies with the file's own blocks, and --kernels none does not", "drop one"
            )
        if threads is not None:
            from llminspect.core.threads import use

            use(threads)
        return None
    if threads is not None:
        raise UsageError("--threads has no effect on the engine jax", "JAX uses all processors")
    if precision is not None:
        raise UsageError(
            "--precision has no effect on the engine jax", "its --dtype sets the number type of the weights"
        )
    if kernels is not None:
        raise UsageError("--kernels has no effect on the engine jax", "take --engine numpy")
    from importlib.util import find_spec

    from llminspect.backends.jax.settings import settings_of

    settings = settings_of(mesh, dtype, coordinator, process)
    if find_spec("jax") is None:
        raise UserError(
            "--engine jax needs JAX, which is not installed",
            "pip install 'llminspect-cli[jax]', or 'llminspect-cli[cuda]' for NVIDIA GPUs",
        )
    return settings
