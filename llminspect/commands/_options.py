"""Options that commands share, each written once.

A command's function takes whole groups (`source: SourceOptions, output: OutputOptions`); `takes_groups` shows Typer the
single options and hands the command the groups.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from llminspect.commands._complete import BY_OPTION

if TYPE_CHECKING:
    from collections.abc import Callable

ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="LLMINSPECT_MODEL",
        metavar="NAME",
        help="A toy, a .gguf file, a model folder, a catalogue name (`llminspect models`) or org/name on the hub.",
        show_default=True,
    ),
]
Offline = Annotated[bool, typer.Option("--offline", envvar="HF_HUB_OFFLINE", help="Fetch nothing from the network.")]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="REV", help="A branch, tag or commit of a model on the hub.")
]

Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Processes for long input; as many as cores by default."),
]


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and how it may be reached."""

    model: ModelName = "smollm2"
    revision: Revision = None
    offline: Offline = False


@dataclass(frozen=True)
class EngineOptions:
    """What computes."""

    engine: Annotated[
        Literal["numpy", "jax"],
        typer.Option("--engine", envvar="LLMINSPECT_ENGINE", help="jax: compiled; for GPUs, and several hosts."),
    ] = "numpy"
    kernels: Annotated[
        Literal["numpy", "numba"],
        typer.Option(
            "--kernels", envvar="LLMINSPECT_KERNELS", help="numba: multiply with 4 to 8 bits as the file has them."
        ),
    ] = "numpy"
    mesh: Annotated[
        str | None,
        typer.Option("--mesh", metavar="data=2,model=4", help="With jax: cut the model, and batches, over devices."),
    ] = None
    dtype: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option("--dtype", help="With jax: what weights are kept as. Default: float32.", show_default=False),
    ] = None
    coordinator: Annotated[
        str | None,
        typer.Option("--coordinator", metavar="HOST:PORT|auto", help="With jax on several hosts: where process 0 is."),
    ] = None
    process: Annotated[
        str | None, typer.Option("--process", metavar="I/N", help="With --coordinator: process I of N, from 0.")
    ] = None


@dataclass(frozen=True)
class SourceOptions:
    """What is looked at: text or ids, and how text becomes tokens."""

    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="The text; - or nothing reads standard input.", show_default=False),
    ] = None
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="PATH", help="Read the text from a file.")] = None
    ids: Annotated[
        str | None,
        typer.Option(
            "--ids", metavar="1,2,3", help="Ids instead of text; - reads them, or JSON of encode, from standard input."
        ),
    ] = None
    lines: Annotated[
        bool, typer.Option("--lines", help="Each line of standard input is one input; one line of JSON out for each.")
    ] = False
    special: Annotated[
        bool | None,
        typer.Option(
            "--special/--no-special", help="Add BOS, CLS and so on. Default: as the model expects.", show_default=False
        ),
    ] = None
    parse: Annotated[
        Literal["text", "special", "error"],
        typer.Option("--parse", help="What the spelling of a special token inside the text is."),
    ] = "text"
    chat: Annotated[
        bool,
        typer.Option("--chat", help="As a user's message in the model's template; a pipe may hold a JSON of messages."),
    ] = False
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="With --chat: the system message in front.")
    ] = None
    user: Annotated[
        str | None, typer.Option("--user", metavar="TEXT", help="With --chat: the user's message, in place of TEXT.")
    ] = None


@dataclass(frozen=True)
class OutputOptions:
    """How the result comes out."""

    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")] = False
    digits: Annotated[
        int | None, typer.Option("--digits", min=0, max=9, metavar="N", help="Round the numbers in JSON to N decimals.")
    ] = None
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Write .json, .svg, .html, .png, .txt or .npz as well."),
    ] = None
    width: Annotated[
        int | None,
        typer.Option(
            "--width", min=20, max=1000, metavar="N", help="Columns of a saved picture. Default: COLUMNS or 100."
        ),
    ] = None
    theme: Annotated[Literal["dark", "light"], typer.Option("--theme", help="Colours of a saved picture.")] = "dark"
    color: Annotated[Literal["auto", "always", "never"], typer.Option("--color", help="Colours in the output.")] = (
        "auto"
    )
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on standard error.")] = False


@dataclass(frozen=True)
class PageOptions(OutputOptions):
    """The same, of a command whose result can be a page that is pointed at."""

    interactive: Annotated[
        bool,
        typer.Option("--interactive", help="With --save FILE.html: a page to point at, click and walk by keyboard."),
    ] = False


OPTIONS_GIVEN: ContextVar[dict[str, Any]] = ContextVar("OPTIONS_GIVEN", default={})  # noqa: B039
"""The options of this run that differ from their defaults, for the provenance."""

_NOT_PROVENANCE = {
    "context",
    "text",
    "json",
    "quiet",
    "color",
    "save",
    "width",
    "theme",
    "interactive",
    "workers",
    "model",
    "name",
}
Function = TypeVar("Function", bound="Callable[..., Any]")


def takes_groups(function: Function) -> Function:
    """Let Typer see each field of the dataclasses among the parameters as an option of its own.

    The wrapped function is called with the dataclasses filled. Groups come first in the signature where they hold the
    positional TEXT; the order of the options in `--help` is the order of the fields.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            groups[name] = kind
            field_hints = get_type_hints(kind, include_extras=True)
            parameters += [
                _parameter(field.name, field.default, field_hints[field.name]) for field in dataclasses.fields(kind)
            ]
        else:
            parameters.append(_parameter(name, parameter.default, hints[name]))

    @functools.wraps(function)
    def called_by_typer(**values: Any) -> Any:
        OPTIONS_GIVEN.set(_given(values, {parameter.name: parameter.default for parameter in parameters}))
        filled = {
            name: kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        return function(**filled, **values)

    called_by_typer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called_by_typer.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called_by_typer  # type: ignore[return-value]


def _given(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float | str | list) else str(value)
        for name, value in values.items()
        if name not in _NOT_PROVENANCE and value != defaults[name] and value is not None
    }


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    for said in getattr(annotation, "__metadata__", ()):
        if isinstance(said, typer.models.OptionInfo) and said.autocompletion is None:
            said.autocompletion = BY_OPTION.get(name)
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="embedding|LAYER|final",
        help="Where: the embedding table, the residual stream behind a layer, or behind the final norm. Default: "
        "embedding; with --pool on an encoder final, which are its sentence vectors.",
    ),
]
