"""Options that commands share, each written once.

A command's function takes whole groups (`source: SourceOptions, output: OutputOptions`); `takes_groups` shows Typer the
single options and hands the command the groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from llminspect.arguments.option import Argument, Option

ModelName = Annotated[
    str,
    Option(
        "--model",
        "-m",
        envvar="LLMINSPECT_MODEL",
        metavar="NAME",
        help="A toy, a .gguf file, a model folder, a catalogue name (`llminspect models`) or org/name on the hub.",
        show_default=True,
    ),
]
Offline = Annotated[bool, Option("--offline", envvar="HF_HUB_OFFLINE", help="Fetch nothing from the network.")]
Revision = Annotated[
    str | None, Option("--revision", metavar="REV", help="A branch, tag or commit of a model on the hub.")
]
Workers = Annotated[
    int | None,
    Option("--workers", min=1, metavar="N", help="Processes for long input; as many as cores by default."),
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
        Option("--engine", envvar="LLMINSPECT_ENGINE", help="jax: compiled; for GPUs, and several hosts."),
    ] = "numpy"
    kernels: Annotated[
        Literal["numpy", "numba"],
        Option("--kernels", envvar="LLMINSPECT_KERNELS", help="numba: multiply with 4 to 8 bits as the file has them."),
    ] = "numpy"
    mesh: Annotated[
        str | None,
        Option("--mesh", metavar="data=2,model=4", help="With jax: cut the model, and batches, over devices."),
    ] = None
    dtype: Annotated[
        Literal["float32", "bfloat16"] | None,
        Option("--dtype", help="With jax: what weights are kept as. Default: float32.", show_default=False),
    ] = None
    coordinator: Annotated[
        str | None,
        Option("--coordinator", metavar="HOST:PORT|auto", help="With jax on several hosts: where process 0 is."),
    ] = None
    process: Annotated[
        str | None, Option("--process", metavar="I/N", help="With --coordinator: process I of N, from 0.")
    ] = None


@dataclass(frozen=True)
class SourceOptions:
    """What is looked at: text or ids, and how text becomes tokens."""

    text: Annotated[
        str | None,
        Argument(metavar="[TEXT]", help="The text; - or nothing reads standard input.", show_default=False),
    ] = None
    file: Annotated[
        Path | None,
        Option("--file", "-f", metavar="PATH", help="Read the text from a file, less one newline at its end."),
    ] = None
    ids: Annotated[
        str | None,
        Option(
            "--ids", metavar="1,2,3", help="Ids instead of text; - reads them, or JSON of encode, from standard input."
        ),
    ] = None
    lines: Annotated[
        bool, Option("--lines", help="Each line of standard input is one input; one line of JSON out for each.")
    ] = False
    special: Annotated[
        bool | None,
        Option(
            "--special/--no-special", help="Add BOS, CLS and so on. Default: as the model expects.", show_default=False
        ),
    ] = None
    parse: Annotated[
        Literal["text", "special", "error"],
        Option("--parse", help="What the spelling of a special token inside the text is."),
    ] = "text"
    chat: Annotated[
        bool,
        Option("--chat", help="As a user's message in the model's template; a pipe may hold a JSON of messages."),
    ] = False
    system: Annotated[
        str | None, Option("--system", metavar="TEXT", help="With --chat: the system message before it.")
    ] = None
    user: Annotated[
        str | None, Option("--user", metavar="TEXT", help="With --chat: the user's message, in place of TEXT.")
    ] = None


@dataclass(frozen=True)
class OutputOptions:
    """How the result comes out."""

    json: Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")] = False
    digits: Annotated[
        int | None, Option("--digits", min=0, max=9, metavar="N", help="Round the numbers in JSON to N decimals.")
    ] = None
    save: Annotated[
        Path | None,
        Option("--save", metavar="FILE", help="Write .json, .svg, .html, .png, .txt or .npz as well."),
    ] = None
    width: Annotated[
        int | None,
        Option("--width", min=20, max=1000, metavar="N", help="Columns of a saved picture. Default: COLUMNS or 100."),
    ] = None
    theme: Annotated[Literal["dark", "light"], Option("--theme", help="Colours of a saved picture.")] = "dark"
    color: Annotated[Literal["auto", "always", "never"], Option("--color", help="Colours in the output.")] = "auto"
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress and no notes on standard error.")] = False


@dataclass(frozen=True)
class PageOptions(OutputOptions):
    """The same, of a command whose result can be a page that is pointed at."""

    interactive: Annotated[
        bool,
        Option("--interactive", help="With --save FILE.html: a page to point at, click and walk by keyboard."),
    ] = False
